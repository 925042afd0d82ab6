"""A source that reads a web service: its preview, and a `records` path that leads to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from rsq_pipe.spec.loader import load
from rsq_pipe.testing.preview.passage import StagePreview
from rsq_pipe.testing.preview.walk import walk
from tests.support.project import Project
from tests.support.web_service import WebService


@pytest.fixture
def service() -> Iterator[WebService]:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"data": {"items": [{"n": 1}, {"n": 2}]}, "tags": ["a"]})

    with WebService(answer) as running:
        yield running


def preview(project: Project, service: WebService, more: str) -> dict[str, StagePreview]:
    graph = load(
        project.spec(f"""
        read: {{source: {{type: http, url: "{service.url}/items", {more}}}}}
        out: {{sink: {{type: stdout}}}}
        """)
    )

    async def collect() -> list[StagePreview]:
        return [found async for found in walk(graph, limit=5)]

    return {found.stage.name: found for found in asyncio.run(collect())}


def test_a_preview_shows_the_records_of_a_web_service(project: Project, service: WebService) -> None:
    shown = preview(project, service, "records: data.items, every: 1h")

    assert [passage.before for passage in shown["out"].passages] == [{"n": 1}, {"n": 2}]


def test_a_path_at_which_an_answer_has_nothing_is_told_with_the_lists_it_has(
    project: Project, service: WebService
) -> None:
    with capture_logs() as told:
        shown = preview(project, service, "records: data.itemz")

    assert shown["out"].passages == []
    (warning,) = [line["event"] for line in told if line["log_level"] == "warning"]
    assert warning.startswith("the answer has nothing at `records: data.itemz`")
    assert warning.endswith("it has a list at `records: data.items`")
