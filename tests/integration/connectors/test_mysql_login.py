"""The login of MySQL 8, which MariaDB does not have: the password comes encrypted with the server's key."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.mysql.connection import Connection
from rsq_pipe.connectors.mysql.options import Options
from rsq_pipe.extras import install

SALT = b"abcdefghijklmnopqrst"
FULL_LOGIN, KEY = b"\x01\x04", b"\x01"
DENIED = b"\xff\x15\x04#28000Access denied for user 'u'"
_CAPABILITIES = 0x0008_A28D  # the protocol of MySQL 4.1, transactions, and logins by name; no TLS


class Login:
    """The first steps of a MySQL 8 that knows nobody: it takes a password, and denies access."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.password = ""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with client, suppress(EOFError, OSError):
                self._log_in(client)

    def _log_in(self, client: socket.socket) -> None:
        low, high = (
            (_CAPABILITIES & 0xFFFF).to_bytes(2, "little"),
            (_CAPABILITIES >> 16).to_bytes(2, "little"),
        )
        greeting = (
            b"\x0a8.4.3\0" + (7).to_bytes(4, "little") + SALT[:8] + b"\0" + low + b"\xff\x02\x00" + high
        )
        send(client, 0, greeting + b"\x15" + bytes(10) + SALT[8:] + b"\0" + b"caching_sha2_password\0")
        number, _ = receive(client)
        send(client, number + 1, FULL_LOGIN)
        number, _ = receive(client)  # it asks for the key
        key = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        send(client, number + 1, KEY + key)
        number, secret = receive(client)
        masked = self._key.decrypt(secret, padding.OAEP(padding.MGF1(SHA1()), SHA1(), None))
        plain = bytes(one ^ SALT[place % len(SALT)] for place, one in enumerate(masked))
        self.password = plain.rstrip(b"\0").decode()
        send(client, number + 1, DENIED)


def send(client: socket.socket, number: int, data: bytes) -> None:
    client.sendall(len(data).to_bytes(3, "little") + bytes([number]) + data)


def receive(client: socket.socket) -> tuple[int, bytes]:
    """Receive a packet: its number and its content."""
    head = exactly(client, 4)
    return head[3], exactly(client, int.from_bytes(head[:3], "little"))


def exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = client.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


@pytest.fixture
def login() -> Iterator[Login]:
    login = Login()
    yield login
    login.close()


@pytest.fixture
def connection(login: Login, tmp_path: Path) -> Connection:
    dsn = f"mysql://u:sesame@127.0.0.1:{login.port}/shop"
    return Connection(Options.model_validate({"dsn": dsn, "table": "t"}), tmp_path, 5)


def test_the_password_arrives_as_it_was(login: Login, connection: Connection) -> None:
    with pytest.raises(RefusedError, match="Access denied for user 'u'; correct `dsn`"):
        connection.open()
    assert login.password == "sesame"


@pytest.mark.usefixtures("login")
def test_without_the_package_it_is_told_what_to_do(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymysql._auth._have_cryptography", False)

    with pytest.raises(RefusedError) as caught:
        connection.open()
    assert "'cryptography' package is required for sha256_password or caching_sha2" in str(caught.value)
    assert str(caught.value).endswith(f"set `tls: true`, or install it: {install('mysql')}")
