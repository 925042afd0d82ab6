"""One stage, what stands before it, its backlog as one number, a record's way, and who works."""

from __future__ import annotations

import os
import socket

from rsq_pipe.ops.status import read_status
from tests.integration.ops.shop import Shop
from tests.support.served_page import ServedPage, served
from tests.support.server import StreamServer
from tests.support.signals import wait_until

SECRET = "hunter2-of-the-tests"


def at(shop: Shop, rest: str = "", stage: str = "price") -> str:
    return f"/pipelines/{shop.pipeline}/stages/{stage}{rest}"


async def five_waiting(shop: Shop) -> None:
    """Have five records stand before `price`."""
    shop.records(range(5), price=1)
    run = await shop.up(stages=["read"])

    async def there() -> bool:
        return await shop.records_in("read") == 5

    await wait_until(there, what="all is read")
    await run.stop()


async def test_a_stage_is_told_with_its_settings_and_last_errors(shop: Shop, page: ServedPage) -> None:
    shop.records(range(3))
    await shop.run()

    found = await page.get(at(shop))

    assert (found["name"], found["verb"], found["dead"], found["read"]) == ("price", "call", 3, 3)
    assert found["settings"] == {"call": "handlers:price", "retry": {"attempts": 1}}
    assert [one["message"] for one in found["errors"]] == [f"order {n} has no price" for n in (2, 1, 0)]
    assert [(one["from"], one["to"]) for one in found["reads"]] == [("read", "price")]


async def test_settings_show_no_secret(shop: Shop, page: ServedPage) -> None:
    shop.spec(
        f"""
        read: {{source: {{type: jsonl, path: '*.jsonl'}}}}
        price:
          call: 'handlers:price'
          with: {{password: {SECRET}, api_token: "${{secret:TOKEN:-}}", dsn: "postgres://me:{SECRET}@db/shop"}}
        """.replace("${secret:TOKEN:-}", "${TOKEN:-none}")
    )
    shop.records([1], price=1)
    await shop.run()

    found = await page.ask("GET", f"/api{at(shop)}")

    assert SECRET not in found.text
    assert found.json["settings"]["with"] == {
        "password": "***",
        "api_token": "${TOKEN:-none}",
        "dsn": "postgres://me:***@db/shop",
    }
    assert SECRET not in (await page.ask("GET", f"/api/pipelines/{shop.pipeline}")).text


async def test_the_backlog_is_one_number_and_that_of_status(shop: Shop, page: ServedPage) -> None:
    await five_waiting(shop)

    document = await page.ask("GET", f"/api{at(shop, '/backlog')}")
    text = await page.ask("GET", f"/api{at(shop, '/backlog')}", headers={"Accept": "text/plain"})

    assert (document.json, text.text) == ({"backlog": 5}, "5\n")
    assert text.headers["content-type"].startswith("text/plain")
    status = {one.name: one for one in (await read_status(shop.client, shop.graph)).stages}["price"]
    assert status.backlog == 5


async def test_replayed_letters_and_retries_are_in_the_backlog(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters(range(4))
    await shop.replay()
    await shop.redis("ZADD", shop.key("price:retry"), "9999999999999", "x")

    stage = await page.get(at(shop))

    assert (stage["backlog"], stage["again"], stage["retries"]) == (5, 4, 1)
    assert (await page.get(at(shop, "/backlog"))) == {"backlog": 5}


async def test_what_stands_before_a_stage_is_shown_by_expression(shop: Shop, page: ServedPage) -> None:
    await five_waiting(shop)

    found = await page.get(at(shop, "/records"), where="n >= 3")
    first = await page.get(at(shop, "/records"), count=2)
    source = await page.ask("GET", f"/api{at(shop, '/records', stage='read')}")

    assert [one["payload"]["n"] for one in found["records"]] == [3, 4]
    assert (len(first["records"]), first["more"], found["more"]) == (2, True, False)
    assert (source.status, "is a source" in source.json["error"]["message"]) == (400, True)


async def test_a_records_way_is_told_with_its_dead_letter(shop: Shop, server: StreamServer) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    await shop.add_letters([7], traceparent=f"00-{trace_id}-00f067aa0ba902b7-01")
    (letter,) = await shop.letters()

    async with served(server.url, jaeger="http://jaeger:16686/") as page:
        found = await page.get(f"/pipelines/{shop.pipeline}/records/{letter.rid}")
        nothing = await page.ask("GET", f"/api/pipelines/{shop.pipeline}/records/read:none:1")

    dead = found["steps"][-1]
    assert (dead["stage"], dead["outcome"], dead["letter"]) == ("price", "dead-lettered", letter.id)
    assert found["traces"] == [{"id": trace_id, "url": f"http://jaeger:16686/trace/{trace_id}"}]
    assert (nothing.status, "journal" in nothing.json["error"]["fix"]) == (404, True)


async def test_workers_are_listed_with_what_they_have_in_flight(shop: Shop, page: ServedPage) -> None:
    shop.handlers(
        """
        import asyncio
        begun, end = asyncio.Event(), asyncio.Event()

        async def price(order: dict) -> dict:
            begun.set()
            await end.wait()
            return order
        """
    )
    shop.records([1])
    run = await shop.up()
    await wait_until(lambda: hasattr(shop.module, "begun"), what="the handlers are there")
    await shop.module.begun.wait()

    found = await page.get(f"/pipelines/{shop.pipeline}/workers")
    shop.module.end.set()
    await run.ended()
    later = await page.get(f"/pipelines/{shop.pipeline}/workers")

    (process,) = found["processes"]
    assert (process["pid"], process["gone"]) == (os.getpid(), False)
    assert process["host"] == socket.gethostname()
    one = {worker["stage"]: worker for worker in found["workers"]}["price"]
    assert (one["in_flight"], one["pid"], one["gone"]) == (1, os.getpid(), False)
    assert one["since"] <= one["last_seen"]
    assert later["processes"] == []


async def test_a_worker_that_is_gone_is_listed_as_gone(shop: Shop, page: ServedPage) -> None:
    await five_waiting(shop)
    gone = "price_elsewhere.1f_42-0123456789ab"
    await shop.redis("XREADGROUP", "GROUP", "price", gone, "COUNT", 1, "STREAMS", shop.key("read"), ">")
    host = socket.gethostname()

    found = await page.get(f"/pipelines/{shop.pipeline}/workers")

    (one,) = [worker for worker in found["workers"] if worker["consumer"] == gone]
    assert (one["host"], one["pid"], one["in_flight"]) == ("elsewhere", 42, 5)
    assert host  # its own processes are told by it
