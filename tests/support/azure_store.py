"""AzureStore: a private Blob Storage for tests: Azurite, the emulator that Microsoft publishes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import AzureStore as Client

from tests.support.absent import absent
from tests.support.ports import free_port
from tests.support.signals import eventually

# The account and the key that every Azurite has.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_VERSION = "2021-08-06"


class AzureStore:
    """A process that serves Blob Storage on loopback."""

    def __init__(self, binary: str, root: Path) -> None:
        self._port = free_port()
        options = ["--silent", "--skipApiVersionCheck", "--inMemoryPersistence"]
        self._process = subprocess.Popen(
            [binary, *options, "--blobPort", str(self._port)],
            cwd=root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.endpoint = f"http://127.0.0.1:{self._port}/{ACCOUNT}"
        try:
            eventually(self._answers, 60, "Azurite's answer")
        except BaseException:
            self.close()
            raise

    def container(self) -> Container:
        """Make a container with a new name."""
        name = f"c{secrets.token_hex(6)}"
        assert self._signed("PUT", f"/{name}", {"restype": "container"}) == http.client.CREATED
        return Container(self, name)

    def close(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "Azurite does not run"
        try:
            return self._signed("GET", "/", {"comp": "list"}) == http.client.OK
        except OSError:
            return False

    def _signed(self, method: str, path: str, query: dict[str, str]) -> int:
        """Send a request without a body, signed with the key, and return the status."""
        now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers = {"x-ms-date": now, "x-ms-version": _VERSION}
        lines = [method, *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
        resource = [f"/{ACCOUNT}/{ACCOUNT}{path}", *(f"{name}:{value}" for name, value in query.items())]
        digest = hmac.new(base64.b64decode(KEY), "\n".join([*lines, *resource]).encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest.digest()).decode()}"
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            asked = "&".join(f"{name}={value}" for name, value in query.items())
            connection.request(method, f"/{ACCOUNT}{path}?{asked}", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


class Container:
    """A container for one test."""

    def __init__(self, store: AzureStore, name: str) -> None:
        self.name = name
        self.settings: dict[str, Any] = {
            "endpoint": store.endpoint,
            "credentials": {"account": ACCOUNT, "account_key": KEY},
        }
        self._client = Client(
            name,
            account_name=ACCOUNT,
            account_key=KEY,
            endpoint=store.endpoint,
            client_options={"allow_http": True},
        )

    def url(self, path: str) -> str:
        return f"az://{self.name}/{path}"

    def put(self, path: str, data: bytes) -> None:
        obstore.put(self._client, path, data)

    def objects(self) -> dict[str, bytes]:
        """Read everything: name -> bytes."""
        names = [one["path"] for page in obstore.list(self._client) for one in page]
        return {name: bytes(obstore.get(self._client, name).bytes()) for name in sorted(names)}


@pytest.fixture(scope="session")
def azure_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureStore]:
    """One store for the whole run; tests keep apart by the names of their containers."""
    binary = shutil.which("azurite-blob")
    if binary is None:
        absent("azurite-blob on PATH", "npm install --global azurite")
    store = AzureStore(binary, tmp_path_factory.mktemp("azurite"))
    yield store
    store.close()


@pytest.fixture
def container(azure_store: AzureStore) -> Container:
    return azure_store.container()
