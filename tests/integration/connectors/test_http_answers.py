"""Source `http`: an answer that is no page is told of as what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from rsq_pipe.connectors.http.options import ReadSettings
from rsq_pipe.connectors.http.reading import HttpSource
from rsq_pipe.errors import SourceError
from tests.support.web_service import WebService


def read(answer: web.Response, **more: Any) -> list[Any]:
    """Read a service that answers everything like this."""

    async def answered(_: web.Request) -> web.Response:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    with WebService(answered) as service:
        source = HttpSource(ReadSettings.model_validate({"url": service.url, **more}), stage="read")
        return [record for chunk in source.read("", "", 10) for record in chunk.records]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read(web.Response(body=b'\xef\xbb\xbf[{"n": 1}]')) == [{"n": 1}]


@pytest.mark.parametrize(
    ("status", "body", "headers", "told"),
    [
        (302, b"", {"Location": "/new?x=1"}, "it answers 302, a redirect to '/new'; name the new address in"),
        (200, b"", {}, "its answer is empty"),
        (200, b'[{"n": "\xe9"}]', {}, "its answer is not JSON: it is not UTF-8: it holds byte 0xe9"),
        (404, b"", {}, "it answers 404$"),
    ],
)
def test_an_answer_that_is_no_page_is_told(
    status: int, body: bytes, headers: Mapping[str, str], told: str
) -> None:
    with pytest.raises(SourceError, match=told):
        read(web.Response(status=status, body=body, headers=headers))


@pytest.mark.parametrize(
    ("paginate", "body", "told"),
    [
        (
            {"type": "page_number", "total_path": "total"},
            b'{"items": [{"n": 1}], "total": "many"}',
            "the value at `total_path: total` is 'many', and not a number",
        ),
        (
            {"type": "json_link", "next_url_path": "next"},
            b'{"items": [{"n": 1}], "next": {"a": 1}}',
            "the value at `next_url_path: next` is not an address, but an object",
        ),
    ],
)
def test_a_path_that_leads_to_something_else_is_told(
    paginate: Mapping[str, str], body: bytes, told: str
) -> None:
    with pytest.raises(SourceError, match=told):
        read(web.Response(body=body), records="items", paginate=paginate)
