"""What is answered of a pipeline whose keys hold what no release writes, or that is deleted meanwhile."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.ops.status import PipelineStatus
from rsq_pipe.page import shapes
from tests.integration.ops.shop import Shop
from tests.integration.page.test_events import told
from tests.support.served_page import ServedPage, served
from tests.support.server import StreamServer

GARBAGE: dict[str, tuple[str | bytes, bytes]] = {
    "a counter that is not a number": ("price:in", b"abc"),
    "a counter of too many digits": ("price:in", b"9" * 5_000),
    "a counter that is not text": ("price:in", b"\xff"),
    "a field that is not text": (b"\xff:in", b"1"),
    "a graph that is not text": ("graph", b'\xff{"stages": []}'),
    "a graph that is too deep": ("graph", b'{"stages":[],"x":' + b"[" * 100_000),
    "a pause of no time": ("paused:price:hold", b'{"why": "x", "since": 1e300}'),
}


@pytest.fixture
async def shop(own_server: StreamServer, name: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """A pipeline on a server of its own: what is written to its keys is in the way of no other test."""
    lab = Shop(tmp_path / "project", name, own_server.url)
    yield lab
    await lab.close()


@pytest.fixture
async def page(own_server: StreamServer) -> AsyncIterator[ServedPage]:
    """The page of that server."""
    async with served(own_server.url) as running:
        yield running


@pytest.fixture
async def other(own_server: StreamServer, name: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """A second pipeline, with nothing wrong."""
    lab = Shop(tmp_path / "other", f"{name}-other", own_server.url)
    await lab.add_letters([1])
    yield lab
    await lab.close()


@pytest.mark.parametrize("what", GARBAGE)
async def test_a_pipeline_that_cannot_be_read_is_told_as_such_and_hides_no_other(
    shop: Shop, other: Shop, page: ServedPage, what: str
) -> None:
    await shop.add_letters([1])
    field, value = GARBAGE[what]
    await shop.redis("HSET", shop.key("meta"), field, value)

    listed = {one["name"]: one for one in (await page.get("/pipelines"))["pipelines"]}
    found = [
        await page.ask("GET", f"/api/pipelines/{shop.pipeline}{rest}")
        for rest in ("", "/stages/price", "/stages/price/letters", "/workers", "/audit")
    ]

    assert (listed[other.pipeline]["fault"], listed[other.pipeline]["dead"]) == ("", 1)
    assert listed[shop.pipeline]["state"] in {"unknown", "resting"}
    for one in found:
        assert one.status in {200, 502}, one
        assert one.status == 200 or shop.pipeline in one.json["error"]["message"]


@pytest.mark.parametrize(
    "command",
    [
        ("HSET", "meta:calls", "price:3", "x"),
        ("XADD", "meta:history", "*", "price", "x"),
        ("XADD", "meta:history", "*", b"\xff", b"\xff"),
        ("SET", "meta:history", "x"),
        ("SET", "meta:calls", "x"),
        ("SET", "price:dlq", "x"),
        ("SET", "price:retry", "x"),
    ],
    ids=lambda command: " ".join(map(repr, command)),
)
async def test_garbage_beside_a_pipelines_hash_hides_no_other_and_is_no_fault_of_ours(
    shop: Shop, other: Shop, page: ServedPage, command: tuple[str | bytes, ...]
) -> None:
    await shop.add_letters([1])
    word, key, *values = command
    if word == "SET":
        await shop.redis("DEL", shop.key(str(key)))
    await shop.redis(word, shop.key(str(key)), *values)

    listed = {one["name"]: one for one in (await page.get("/pipelines"))["pipelines"]}
    found = [
        await page.ask("GET", f"/api/pipelines/{shop.pipeline}{rest}")
        for rest in ("", "/history", "/stages/price", "/stages/price/backlog")
    ]

    assert (listed[other.pipeline]["fault"], shop.pipeline in listed) == ("", True)
    assert {one.status for one in found} <= {200, 502}, found
    assert found[1].status == 200 or word == "SET"


async def test_a_pipeline_whose_stream_is_something_else_hides_no_other(
    shop: Shop, other: Shop, page: ServedPage
) -> None:
    await shop.add_letters([1])
    await shop.redis("DEL", shop.key("read"))
    await shop.redis("SET", shop.key("read"), "x")

    listed = {one["name"]: one for one in (await page.get("/pipelines"))["pipelines"]}

    assert listed[other.pipeline]["fault"] == ""
    assert (listed[shop.pipeline]["state"], "WRONGTYPE" in listed[shop.pipeline]["fault"]) == (
        "unknown",
        True,
    )


async def test_a_pipeline_that_is_deleted_meanwhile_is_left_out_of_the_list(
    shop: Shop, other: Shop, page: ServedPage
) -> None:
    await shop.add_letters([1])
    await page.site.pipelines()  # it is known for a second which there are
    await shop.redis("DEL", Keyspace(shop.pipeline).meta)

    names = {one["name"] for one in (await page.get("/pipelines"))["pipelines"]}

    assert (other.pipeline in names, shop.pipeline in names) == (True, False)


async def test_a_listener_hears_of_a_fault_of_ours_and_then_how_it_goes_on(
    shop: Shop, page: ServedPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.add_letters([1])

    def broken(_: PipelineStatus) -> str:
        raise RuntimeError("no such thing")

    async with page.http.get(f"{page.url}/api/pipelines/{shop.pipeline}/events") as found:
        events = told(found)
        assert (await anext(events))[0] == "status"
        with monkeypatch.context() as patch:
            patch.setattr(shapes, "state", broken)
            while (event := await anext(events))[0] != "fault":
                pass
        assert event[1]["error"]["message"] == "a fault in rsq-pipe"
        while (await anext(events))[0] != "status":
            pass


async def test_settings_that_are_no_json_are_shown_as_text(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])
    text = "stages: {price: {call: 'handlers:price', most: .inf, least: .nan}}"
    raw = (await shop.redis("HGET", shop.key("meta"), "graph")).decode()
    await shop.redis("HSET", shop.key("meta"), "graph", _with_text(raw, text))

    found = await page.get(f"/pipelines/{shop.pipeline}/stages/price")

    assert found["settings"] == {"call": "handlers:price", "most": "inf", "least": "nan"}


def _with_text(graph: str, text: str) -> str:
    return json.dumps({**json.loads(graph), "text": text})
