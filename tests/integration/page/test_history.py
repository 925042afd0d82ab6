"""Rates and backlogs of a day, kept by the runs in bounded space; and how long calls take."""

from __future__ import annotations

import time

import pytest

from rsq_pipe.engine.changes.provision import lay
from rsq_pipe.engine.housekeeping.history import KEPT, STEP, History
from rsq_pipe.engine.process import Process
from tests.integration.ops.shop import Shop
from tests.support.served_page import ServedPage


async def put(shop: Shop, *points: tuple[int, int, int]) -> None:
    """Keep points of `price`: seconds ago, done, backlog."""
    await lay(shop.client, shop.graph)
    now = round(time.time() * 1000)
    for ago, done, backlog in points:
        entry = f"{now - ago * 1000}-0"
        await shop.redis("XADD", shop.key("meta:history"), entry, "price", f"{done} {backlog}")


async def test_a_run_keeps_what_its_stages_did(shop: Shop, page: ServedPage) -> None:
    shop.records(range(600), price=1)
    await shop.run()

    first = await page.get(f"/pipelines/{shop.pipeline}/history")
    listed = (await page.get("/pipelines"))["pipelines"]

    assert first["step_s"] >= STEP
    assert set(first["stages"]) == {"read", "price", "out"}
    assert sum(rate or 0 for rate in first["stages"]["price"]["rate"]) > 0
    (one,) = [one for one in listed if one["name"] == shop.pipeline]
    assert one["last_seen_running_at"] is not None


async def test_rates_are_what_was_done_between_two_points(shop: Shop, page: ServedPage) -> None:
    minutes = [(60 * (30 - n), 600 * n, 5 * n) for n in range(20)]
    await put(shop, *minutes)

    found = await page.get(f"/pipelines/{shop.pipeline}/history", window="1h")

    price = found["stages"]["price"]
    assert found["step_s"] == STEP
    assert len(price["t"]) == len(price["rate"]) == len(price["backlog"])
    rates = [rate for rate in price["rate"] if rate is not None]
    assert rates == [pytest.approx(10.0)] * len(rates)
    assert len(rates) in {19, 20}  # as minutes begin between two points, or at them
    assert max(price["backlog"]) == 95
    assert all(later - one == STEP for one, later in zip(price["t"], price["t"][1:], strict=False))


async def test_where_nobody_ran_it_nothing_is_known(shop: Shop, page: ServedPage) -> None:
    await put(shop, (3000, 0, 0), (2940, 60, 0), (1200, 60, 0), (1140, 180, 0), (1080, 0, 0))

    price = (await page.get(f"/pipelines/{shop.pipeline}/history", window="1h"))["stages"]["price"]

    assert None in price["rate"]
    assert min(rate for rate in price["rate"] if rate is not None) >= 0  # it was started over


async def test_a_day_is_told_in_bounded_steps(shop: Shop, page: ServedPage) -> None:
    minutes = [(60 * (1430 - n), 60 * n, 0) for n in range(1430)]
    await put(shop, *minutes)

    found = await page.get(f"/pipelines/{shop.pipeline}/history", window="24h")

    assert found["step_s"] == 4 * STEP
    assert 350 <= len(found["stages"]["price"]["t"]) <= 362
    rates = [rate for rate in found["stages"]["price"]["rate"] if rate is not None]
    assert rates == [pytest.approx(1.0)] * len(rates)


async def test_what_is_kept_is_bounded(shop: Shop, page: ServedPage) -> None:
    await put(shop, *((86_400 * 2 - n, n, 1_000_000 + n) for n in range(KEPT + 50)))
    process = Process(shop.client, shop.graph, lambda _: None)
    state = await shop.state()
    kept = History(shop.client, shop.graph, process.times)

    await kept.keep_point(state)
    await kept.keep_point(state)  # within the minute: another process may have come first
    await History(shop.client, shop.graph, process.times).keep_point(state)
    key = shop.key("meta:history")

    assert await shop.redis("XLEN", key) == KEPT
    size = await shop.redis("MEMORY", "USAGE", key, "SAMPLES", 0)
    assert size < 40 * KEPT  # of a pipeline of one stage: 40 bytes a minute
    for window in ("1s", "2d", "x"):
        found = await page.ask("GET", f"/api/pipelines/{shop.pipeline}/history", params={"window": window})
        assert found.status == 400


async def test_the_history_says_how_long_calls_take(shop: Shop, page: ServedPage) -> None:
    shop.handlers(
        """
        import time

        def price(order: dict) -> dict:
            time.sleep(0.02)
            return order
        """
    )
    shop.records([1, 2])
    await shop.run()

    stages = (await page.get(f"/pipelines/{shop.pipeline}"))["stages"]

    took = stages["price"]["handler_ms"]
    assert 15 <= took["p50"] <= took["p95"] < 1000
    assert stages["out"]["handler_ms"] is not None
    assert stages["read"]["handler_ms"] is None
