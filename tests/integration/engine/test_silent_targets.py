"""A sink or source whose system has gone silent is shown as waiting, before any time limit ends the call."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from aiohttp import web

from rsq_pipe.connectors import outage
from rsq_pipe.connectors.http import unanswered
from rsq_pipe.engine.sinks import open_call
from rsq_pipe.ops.stage_status import StagePause
from rsq_pipe.ops.status import read_status
from tests.integration.engine.lab import Lab
from tests.support.postgres import PostgresServer
from tests.support.signals import wait_until
from tests.support.web_service import WebService

SILENT = 0.3


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_call, "SILENT", SILENT)
    monkeypatch.setattr(outage, "SILENT", SILENT)


async def paused(lab: Lab, stage: str) -> StagePause | None:
    status = await read_status(lab.client, lab.graph)
    return next(one.paused for one in status.stages if one.name == stage)


async def test_a_sink_whose_database_is_frozen_is_shown_as_waiting_before_its_statement_ends(
    lab: Lab, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG", own_postgres.dsn)
    lab.records(range(1))
    lab.spec("""
        read: {source: {type: jsonl, path: '*.jsonl', watch: true}}
        store: {sink: {type: postgres, dsn: "${secret:PG}", table: t, create: true}}
    """)
    run = await lab.up()
    await wait_until(partial(_stored, lab, 1), what="the first record is stored")
    own_postgres.pause()
    lab.records(range(1, 2), "more.jsonl")

    async def waits() -> bool:
        return await paused(lab, "store") is not None

    await wait_until(waits, what="status says that the sink waits")
    found = await paused(lab, "store")
    assert found is not None
    assert found.why == "a call to postgres table t is still running"
    assert found.seconds >= SILENT, "since the call began"

    own_postgres.resume()

    async def works() -> bool:
        return await paused(lab, "store") is None

    await wait_until(works, what="status says that it works again")
    await wait_until(partial(_stored, lab, 2), what="the second record is stored")
    await run.stop()


async def test_a_source_whose_database_is_frozen_is_shown_as_waiting_before_its_statement_ends(
    lab: Lab, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG", own_postgres.dsn)
    own_postgres.execute("create table s (id int primary key)")
    own_postgres.execute("insert into s values (1)")
    lab.spec("""
        read: {source: {type: postgres, dsn: "${secret:PG}", table: s, key: [id], every: 100ms}}
        store: {sink: {type: jsonl, path: out/all.jsonl}}
    """)
    run = await lab.up()
    await wait_until(partial(_stored, lab, 1), what="the first record is stored")
    own_postgres.pause()

    async def waits() -> bool:
        return await paused(lab, "read") is not None

    await wait_until(waits, what="status says that the source waits")
    found = await paused(lab, "read")
    assert found is not None
    assert found.why.endswith("no answer yet; a statement may take `timeout`, 30 s")

    own_postgres.resume()

    async def works() -> bool:
        return await paused(lab, "read") is None

    await wait_until(works, what="status says that it works again")
    await run.stop()


async def _stored(lab: Lab, count: int) -> bool:
    status = await read_status(lab.client, lab.graph)
    return next(one.done for one in status.stages if one.name == "store") == count


async def test_a_stage_whose_calls_hang_is_shown_as_waiting_before_its_batch_ends(lab: Lab) -> None:
    lab.records(range(40))
    lab.handlers("""
        import threading

        let_go = threading.Event()

        def stuck(record):
            let_go.wait(30)
            return record
    """)
    lab.spec("""
        read: {source: {type: jsonl, path: '*.jsonl'}}
        stuck: {call: 'handlers:stuck', timeout: 500ms}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """)
    run = await lab.up()

    async def waits() -> bool:
        return await paused(lab, "stuck") is not None

    await wait_until(waits, what="status says that calls hang")
    found = await paused(lab, "stuck")
    assert found is not None
    assert "took longer than `timeout`, 500ms" in found.why
    lab.module.let_go.set()
    assert (await run.ended()).dead == 0
    assert await paused(lab, "stuck") is None


async def test_a_sink_whose_service_gives_no_answer_is_shown_as_waiting_before_its_timeout(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unanswered, "SILENT", SILENT)
    go_on = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        while not go_on.is_set():  # noqa: ASYNC110  it is of another loop
            await asyncio.sleep(0.01)
        return web.json_response({})

    lab.records(range(3))
    with WebService(answer) as service:
        lab.spec(f"""
            read: {{source: {{type: jsonl, path: '*.jsonl'}}}}
            send: {{sink: {{type: http, url: "{service.url}"}}, timeout: 60s}}
        """)
        run = await lab.up()

        async def waits() -> bool:
            return await paused(lab, "send") is not None

        await wait_until(waits, what="status says that the service gives no answer")
        found = await paused(lab, "send")
        assert found is not None
        assert found.why == f"POST {service.url}: no answer yet; it may take `timeout`, 60 s"
        go_on.set()
        await run.ended()
    assert await paused(lab, "send") is None
