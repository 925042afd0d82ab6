"""Databases and brokers are reached by TLS, if an authority that is trusted signed their certificate."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.support.mariadb import MariadbServer
from tests.support.mosquitto import MqttBroker
from tests.support.private_server import PASSWORD
from tests.support.tls import AUTHORITY, tls_front

TRUSTED = {"tls": True, "ca": str(AUTHORITY)}


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
