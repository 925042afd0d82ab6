"""The port of the metrics, beside clients that are slow, many or gone."""

from __future__ import annotations

import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.telemetry import endpoint
from rsq_pipe.telemetry.endpoint import Endpoint
from rsq_pipe.telemetry.health import Health
from tests.support.signals import BUSY, PATIENCE, eventually

LARGE = b"x" * 20_000_000
"""More than the system keeps of an answer for a client that does not read."""


@pytest.fixture
def answering() -> Iterator[Endpoint]:
    started = Endpoint("127.0.0.1", 0, Health(), lambda _: ("text/plain", LARGE))
    yield started
    started.close()


def client(of: Endpoint, said: bytes = b"GET /livez HT") -> socket.socket:
    connected = socket.create_connection(("127.0.0.1", of.port), timeout=10)
    connected.sendall(said)
    return connected


def threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def test_a_host_that_is_none_of_this_machine_is_told_and_no_other_port_advised() -> None:
    with pytest.raises(RsqPipeError, match="choose another --metrics-host"):
        Endpoint("192.0.2.1", 0, Health(), lambda _: ("text/plain", b""))


def test_many_slow_clients_do_not_keep_a_probe_waiting(
    answering: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "PATIENCE", 60.0)

    with ExitStack() as slow:
        for _ in range(240):
            slow.enter_context(client(answering))
        began = time.monotonic()

        with urllib.request.urlopen(f"{answering.url}/livez", timeout=PATIENCE) as answer:
            assert answer.status == 200

        assert time.monotonic() - began < BUSY
        eventually(lambda: threads() <= endpoint.MOST, what="only so many are served at a time")


def test_a_client_that_goes_on_steadily_and_slowly_is_left_at_the_deadline(
    answering: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "PATIENCE", 0.2)

    with client(answering) as slow:

        def is_left() -> bool:
            slow.sendall(b"T")
            return False

        with pytest.raises(OSError):  # a reset or a broken pipe, as the system likes
            eventually(is_left)


def test_a_client_that_is_gone_leaves_no_traceback(
    answering: Endpoint, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for said in (b"GET /metrics HTTP/1.1\r\n\r\n", b"GET /metr"):
        gone = client(answering, said)
        eventually(lambda: threads() == 1, what="its request is being answered")
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        eventually(lambda: threads() == 0, what="the client is forgotten")

    assert capsys.readouterr() == ("", "")
    assert caplog.text == ""
