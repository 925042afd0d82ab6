"""ObjectStore: a private S3 for tests, which honours If-None-Match, and can be stopped and continue."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen
from xml.etree import ElementTree as ET

import pytest

from tests.support.ports import free_port
from tests.support.signals import PATIENCE, eventually

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
_SIGNED = (
    f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"
)
_HEADERS = {"Authorization": _SIGNED, "Content-Type": "application/octet-stream"}
_XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class ObjectStore:
    """A process that serves S3 on loopback."""

    def __init__(self) -> None:
        port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.endpoint = f"http://127.0.0.1:{port}"
        try:
            eventually(self._answers, 30, "moto's answer")
        except BaseException:
            self.close()
            raise

    def __getstate__(self) -> dict[str, Any]:
        """Tell another process where it is; the child process stays ours."""
        return {**vars(self), "_process": None}

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send one request, and return the answer's body."""
        request = Request(self.endpoint + path, body, _HEADERS, method=method)
        with urlopen(request, timeout=PATIENCE) as answer:
            data: bytes = answer.read()
        return data

    def bucket(self) -> Bucket:
        """Make a bucket with a new name."""
        name = f"b{secrets.token_hex(6)}"
        self.ask("PUT", f"/{name}")
        return Bucket(self, name)

    def deny(self, *, after: int) -> None:
        """From now on, accept so many requests, then only those with known credentials: none."""
        self.ask("POST", "/moto-api/reset-auth", str(after).encode())

    def allow(self) -> None:
        """Accept all requests again."""
        self.deny(after=10**9)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "moto does not run"
        try:
            return bool(self.ask("GET", "/moto-api/"))
        except OSError:
            return False

    def pause(self) -> None:
        """Hang: connections are accepted, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.resume()
        self._process.kill()
        self._process.wait()


class Bucket:
    """A bucket for one test."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self.store = store
        self.name = name

    @property
    def settings(self) -> dict[str, Any]:
        """Settings for a source or sink that reach it."""
        return {
            "endpoint": self.store.endpoint,
            "region": "us-east-1",
            "credentials": {"access_key": KEY, "secret_key": SECRET},
        }

    def url(self, path: str) -> str:
        return f"s3://{self.name}/{path}"

    def put(self, path: str, data: bytes) -> None:
        self.store.ask("PUT", f"/{self.name}/{quote(path)}", data)

    def get(self, path: str) -> bytes:
        return self.store.ask("GET", f"/{self.name}/{quote(path)}")

    def delete(self, path: str) -> None:
        self.store.ask("DELETE", f"/{self.name}/{quote(path)}")

    def names(self) -> list[str]:
        """List the objects, sorted by name."""
        found: list[str] = []
        more = ""
        while True:
            tree = ET.fromstring(self.store.ask("GET", f"/{self.name}?list-type=2{more}"))
            found += [str(one.text) for one in tree.iter(f"{_XML}Key")]
            token = tree.findtext(f"{_XML}NextContinuationToken")
            if token is None:
                return found
            more = f"&continuation-token={quote(token, safe='')}"

    def objects(self) -> dict[str, bytes]:
        """Read everything: name -> bytes."""
        return {name: self.get(name) for name in self.names()}


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """One store for the whole run; tests keep apart by the names of their buckets."""
    store = ObjectStore()
    yield store
    store.close()


@pytest.fixture
def own_object_store() -> Iterator[ObjectStore]:
    """A store for one test that stops it or denies it."""
    store = ObjectStore()
    yield store
    store.close()


@pytest.fixture
def bucket(object_store: ObjectStore) -> Bucket:
    return object_store.bucket()
