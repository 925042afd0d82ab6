"""Sink `http`: how many requests a service gets that cannot serve now."""

from __future__ import annotations

import pytest
from aiohttp import web

from rsq_pipe.connectors.http.options import SendSettings
from rsq_pipe.connectors.http.sending import SILENT, HttpSender
from rsq_pipe.model.batch import Batch
from tests.support.web_service import WebService


@pytest.mark.parametrize(
    ("status", "headers", "requests"),
    [(502, {}, SILENT), (503, {}, SILENT), (504, {}, SILENT), (503, {"Retry-After": "2"}, 1), (429, {}, 1)],
)
async def test_the_rest_of_a_batch_is_kept_after_five_answers_of_a_gateway_or_one_that_asks_for_a_pause(
    status: int, headers: dict[str, str], requests: int
) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Idempotency-Key"])
        return web.Response(status=status, headers=headers)

    rids = [f"read:{n}" for n in range(20)]
    with WebService(answer) as service:
        settings = SendSettings.model_validate({"url": service.url, "concurrency": 1})
        sender = HttpSender(settings, stage="out", timeout=10)
        outcomes = await sender.process(Batch([{"n": n} for n in range(20)], rids, range(20), []))
        await sender.close()

    assert asked == rids[:requests]
    assert [*outcomes.failed] == [*range(20)]
