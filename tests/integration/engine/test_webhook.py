"""Source webhook in a run: an address that somebody else listens at."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from asyncio import to_thread
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from rsq_pipe.connectors.webhook import listener
from rsq_pipe.connectors.webhook.reading import WebhookSource
from rsq_pipe.connectors.webhook.settings import WebhookSettings
from rsq_pipe.ops.status import read_status
from tests.integration.engine.lab import Lab
from tests.support.ports import free_port
from tests.support.signals import eventually, wait_until


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """An address that somebody listens at."""
    monkeypatch.setattr(listener, "_PORT_WAIT", 0.1)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        yield other


def spec(lab: Lab, port: int) -> str:
    address = f"127.0.0.1:{port}"
    lab.spec(
        f"""
        read: {{source: {{type: webhook, listen: "{address}", path: /orders}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """
    )
    return f"http://{address}/orders"


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


async def why(lab: Lab) -> str:
    paused = (await read_status(lab.client, lab.graph)).stages[0].paused
    return paused.why if paused else ""


async def test_an_address_that_is_taken_is_waited_for_and_status_says_so_until_it_is_free(
    lab: Lab, taken: socket.socket
) -> None:
    url = spec(lab, port_of(taken))
    with capture_logs() as logs:
        run = await lab.up()
        await wait_until(lambda: why(lab), what="status says that it waits")
        assert "cannot listen at 127.0.0.1" in await why(lab)

        taken.close()

        await wait_until(lambda: _goes_on(lab), what="it listens, before anything comes")
        await to_thread(urllib.request.urlopen, urllib.request.Request(url, b'{"n": 1}'))
        await wait_until(lambda: lab.lines("out/all.jsonl") == [{"n": 1}], what="what was sent is there")
        await run.stop()

    said = [line["event"] for line in logs if "cannot listen" in str(line["event"])]
    assert len(said) == 1


LISTENS = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listens", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def paused(taken: socket.socket) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that listens at the address, and is stopped; and the port."""
    port = port_of(taken)
    taken.close()
    with subprocess.Popen(
        [sys.executable, "-c", LISTENS, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, other.pid, os.WSTOPPED)
        yield other, port
        other.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell who listens")
async def test_a_paused_process_that_has_the_address_is_named_with_what_to_do(
    lab: Lab, paused: tuple[subprocess.Popen[bytes], int]
) -> None:
    other, port = paused
    spec(lab, port)
    run = await lab.up()
    said = await wait_until(lambda: why(lab), what="status says that it waits")

    other.kill()

    await wait_until(lambda: _goes_on(lab), what="it listens")
    await run.stop()
    assert re.search(rf": process {other.pid} .*listens there.*kill -CONT {other.pid}", said)


def stored_by_a_process_of_its_own(number: int) -> str:
    """Return the position at which a process stores the first request that it gets."""
    address = f"127.0.0.1:{free_port()}"
    source = WebhookSource(WebhookSettings(listen=address), stage="read")
    body = f'{{"n": {number}}}'.encode()
    with ThreadPoolExecutor(1) as sender:
        reading = source.read("requests", "", 10)

        def sent() -> None:
            eventually(lambda: source._listener is not None)
            urllib.request.urlopen(f"http://{address}", body).close()

        sending = sender.submit(sent)
        chunk = next(iter(reading))
        assert chunk.settled is not None
        chunk.settled(True)  # noqa: FBT003  as the engine calls it
        sending.result()
        source.close()
    return str(chunk.position)


def test_processes_that_store_other_requests_after_the_same_position_store_another_position() -> None:
    # A settlement that finds its own position stored counts as repeated: the request would be answered 200.
    assert stored_by_a_process_of_its_own(1) != stored_by_a_process_of_its_own(2)


async def test_a_webhook_says_where_it_listens(lab: Lab) -> None:
    url = spec(lab, free_port())
    with capture_logs() as logs:
        run = await lab.up()
        wanted = {"event": "listening for requests", "log_level": "info", "stage": "read", "url": url}
        await wait_until(lambda: wanted in logs, what="it says where it listens")
        await run.stop()


async def test_a_run_that_waits_for_its_address_stops_when_told_to(lab: Lab, taken: socket.socket) -> None:
    spec(lab, port_of(taken))
    run = await lab.up()
    await wait_until(lambda: why(lab), what="status says that it waits")

    summary = await run.stop()

    assert not summary.finished


async def _goes_on(lab: Lab) -> bool:
    return not await why(lab)
