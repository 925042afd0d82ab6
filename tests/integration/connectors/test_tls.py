"""Databases and brokers are reached by TLS, if an authority that is trusted signed their certificate."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.support.mariadb import MariadbServer
from tests.support.mosquitto import MqttBroker
from tests.support.postgres import PostgresServer
from tests.support.private_server import PASSWORD
from tests.support.tls import AUTHORITY, CERTIFICATES, tls_front

TRUSTED = {"tls": True, "ca": str(AUTHORITY)}


@pytest.fixture
def tls_postgres(postgres_binaries: Path) -> Iterator[PostgresServer]:
    """A server with a certificate; it looks for files in its folder of data."""
    server = PostgresServer(
        *(postgres_binaries, "ssl=on", "ssl_cert_file=../localhost.pem", "ssl_key_file=../localhost.pem")
    )
    certificate = server.folder / "localhost.pem"
    shutil.copy(CERTIFICATES / "localhost.pem", certificate)
    certificate.chmod(0o600)
    if server.user is not None:
        shutil.chown(certificate, server.user)
    with server:
        server.execute("create table t (id int)")
        yield server


def written(kind: str, **settings: Any) -> None:
    """Write one record through a sink."""
    found = connector("sink", kind)
    sink = found.made(found.options(**settings), pipeline="p", stage="out", root=Path("/"))
    try:
        sink.open(None)
        assert not sink.write(Batch([{"id": 1}], ["read:1"])).failures
    finally:
        sink.close()


def test_mysql_is_reached_by_tls(mariadb: MariadbServer, table: str) -> None:
    mariadb.execute(f"create table {table} (id int, cipher varchar(50) default null)")
    mariadb.execute(
        f"create trigger {table}_seen before insert on {table} for each row set new.cipher ="
        " (select variable_value from information_schema.session_status where variable_name = 'SSL_CIPHER')"
    )

    written("mysql", dsn=mariadb.dsn, table=table, ledger=f"{table}_ledger", missing="empty", **TRUSTED)

    ((number, cipher),) = mariadb.execute(f"select id, cipher from {table}")
    assert number == 1
    assert cipher.startswith("TLS")


def test_a_certificate_of_mysql_that_nobody_trusted_signed_ends_the_run(
    mariadb: MariadbServer, table: str
) -> None:
    with pytest.raises(SinkError, match=r"VERIFY_FAILED.*; name the authority that signed its certificate"):
        written("mysql", dsn=mariadb.dsn, table=table, ledger=f"{table}_ledger", tls=True)


# paho leaves the socket of a connection that fails to the garbage collection.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_mqtt_broker_is_reached_by_tls(mqtt: MqttBroker) -> None:
    login = {"topic": "t", "user": "rsq", "password": PASSWORD, "timeout": "5s"}
    async with tls_front(mqtt.port) as port:
        await asyncio.to_thread(written, "mqtt", broker=f"127.0.0.1:{port}", **login, **TRUSTED)
        with pytest.raises(SinkError, match=r"a TLS connection to it fails: .*; correct `tls`, `ca` or"):
            await asyncio.to_thread(written, "mqtt", broker=f"127.0.0.1:{port}", tls=True, **login)


def test_postgres_is_reached_by_tls_and_its_host_checked(tls_postgres: PostgresServer) -> None:
    trusted = f"{tls_postgres.dsn}?sslmode=verify-full&sslrootcert={AUTHORITY}"

    written("postgres", dsn=trusted, table="t")

    assert tls_postgres.execute("select id from t") == [(1,)]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("sslmode=verify-full&sslrootcert=system", "; name the authority that signed it in `dsn`: sslroot"),
        ("sslmode=verify-full&sslrootcert=/nix.pem", r'root certificate file "/nix.pem" does not exist'),
    ],
)
def test_a_certificate_of_postgres_that_cannot_be_trusted_ends_the_run(
    tls_postgres: PostgresServer, settings: str, told: str
) -> None:
    with pytest.raises(SinkError, match=told):
        written("postgres", dsn=f"{tls_postgres.dsn}?{settings}", table="t")


def test_a_postgres_without_tls_that_has_to_have_it_ends_the_run(postgres: PostgresServer) -> None:
    with pytest.raises(SinkError, match="server does not support SSL, but SSL was required; correct `dsn`"):
        written("postgres", dsn=f"{postgres.dsn}?sslmode=require", table="t")
