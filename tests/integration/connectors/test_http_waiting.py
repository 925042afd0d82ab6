"""Source `http` says that it waits for an answer, long before it gives up waiting."""

from __future__ import annotations

import asyncio
import queue

import pytest
from aiohttp import web

from rsq_pipe.connectors.http import get
from rsq_pipe.connectors.http.options import ReadSettings
from rsq_pipe.connectors.http.reading import HttpSource
from rsq_pipe.connectors.outage import report_outages_to
from tests.support.web_service import WebService


async def test_an_answer_that_is_waited_for_is_told_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get, "SILENT", 0.05)
    told: queue.Queue[str] = queue.Queue()
    go_on = asyncio.Event()
    report_outages_to(told.put)

    async def answer(_: web.Request) -> web.Response:
        while not go_on.is_set():  # noqa: ASYNC110  it is of another loop
            await asyncio.sleep(0.01)
        return web.json_response([{"n": 1}])

    with WebService(answer) as service:
        settings = ReadSettings.model_validate({"url": service.url, "timeout": "60s"})
        source = HttpSource(settings, stage="read")
        reading = asyncio.create_task(asyncio.to_thread(lambda: list(source.read("", "", 10))))
        why = await asyncio.to_thread(told.get, timeout=10)
        go_on.set()
        chunks = await reading

    assert why == f"stage 'read': GET {service.url}: no answer yet; it may take `timeout`, 60 s"
    assert [record["n"] for chunk in chunks for record in chunk.records] == [1]
    assert told.empty()
