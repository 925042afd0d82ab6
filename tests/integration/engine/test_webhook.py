"""Source webhook in a run: an address that somebody else listens at."""

from __future__ import annotations

import socket
import urllib.request
from asyncio import to_thread
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from rsq_pipe.connectors.webhook import listener
from rsq_pipe.ops.status import look
from tests.integration.engine.lab import Lab
from tests.support.signals import wait_until


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """An address that somebody listens at."""
    monkeypatch.setattr(listener, "_PORT_WAIT", 0.1)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        yield other


def spec(lab: Lab, taken: socket.socket) -> str:
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    lab.spec(
        f"""
        read: {{source: {{type: webhook, listen: "{address}", path: /orders}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """
    )
    return f"http://{address}/orders"


async def why(lab: Lab) -> str:
    paused = (await look(lab.client, lab.graph)).stages[0].paused
    return paused.why if paused else ""


async def test_an_address_that_is_taken_is_waited_for_and_status_says_so_until_it_is_free(
    lab: Lab, taken: socket.socket
) -> None:
    url = spec(lab, taken)
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


async def test_a_run_that_waits_for_its_address_stops_when_told_to(lab: Lab, taken: socket.socket) -> None:
    spec(lab, taken)
    run = await lab.up()
    await wait_until(lambda: why(lab), what="status says that it waits")

    summary = await run.stop()

    assert not summary.finished


async def _goes_on(lab: Lab) -> bool:
    return not await why(lab)
