"""One stage, what stands before it, its backlog as one number, a record's way, and who works."""

from __future__ import annotations

import os
import socket

from rsq_pipe.ops.status import look
from tests.integration.ops.morgue import Morgue
from tests.support.served_page import ServedPage, served
from tests.support.server import StreamServer
from tests.support.signals import wait_until

SECRET = "hunter2-of-the-tests"


def at(morgue: Morgue, rest: str = "", stage: str = "price") -> str:
    return f"/pipelines/{morgue.pipeline}/stages/{stage}{rest}"


async def five_waiting(morgue: Morgue) -> None:
    """Have five records stand before `price`."""
    morgue.records(range(5), price=1)
    run = await morgue.up(stages=["read"])

    async def there() -> bool:
        return await morgue.records_in("read") == 5

    await wait_until(there, what="all is read")
    await run.stop()


async def test_a_stage_is_told_with_its_settings_and_last_errors(morgue: Morgue, page: ServedPage) -> None:
    morgue.records(range(3))
    await morgue.run()

    found = await page.get(at(morgue))

    assert (found["name"], found["verb"], found["dead"], found["read"]) == ("price", "call", 3, 3)
    assert found["settings"] == {"call": "handlers:price", "retry": {"attempts": 1}}
    assert [one["message"] for one in found["errors"]] == [f"order {n} has no price" for n in (2, 1, 0)]
    assert [(one["from"], one["to"]) for one in found["reads"]] == [("read", "price")]


async def test_settings_show_no_secret(morgue: Morgue, page: ServedPage) -> None:
    morgue.spec(
        f"""
        read: {{source: {{type: jsonl, path: '*.jsonl'}}}}
        price:
          call: 'handlers:price'
          with: {{password: {SECRET}, api_token: "${{secret:TOKEN:-}}", dsn: "postgres://me:{SECRET}@db/shop"}}
        """.replace("${secret:TOKEN:-}", "${TOKEN:-none}")
    )
    morgue.records([1], price=1)
    await morgue.run()

    found = await page.ask("GET", f"/api{at(morgue)}")

    assert SECRET not in found.text
    assert found.json["settings"]["with"] == {
        "password": "***",
        "api_token": "${TOKEN:-none}",
        "dsn": "postgres://me:***@db/shop",
    }
    assert SECRET not in (await page.ask("GET", f"/api/pipelines/{morgue.pipeline}")).text


async def test_the_backlog_is_one_number_and_that_of_status(morgue: Morgue, page: ServedPage) -> None:
    await five_waiting(morgue)

    document = await page.ask("GET", f"/api{at(morgue, '/backlog')}")
    text = await page.ask("GET", f"/api{at(morgue, '/backlog')}", headers={"Accept": "text/plain"})

    assert (document.json, text.text) == ({"backlog": 5}, "5\n")
    assert text.headers["content-type"].startswith("text/plain")
    status = {one.name: one for one in (await look(morgue.client, morgue.graph)).stages}["price"]
    assert status.backlog == 5


async def test_replayed_letters_and_retries_are_in_the_backlog(morgue: Morgue, page: ServedPage) -> None:
    await morgue.bury(range(4))
    await morgue.replay()
    await morgue.redis("ZADD", morgue.key("price:retry"), "9999999999999", "x")

    stage = await page.get(at(morgue))

    assert (stage["backlog"], stage["again"], stage["retries"]) == (5, 4, 1)
    assert (await page.get(at(morgue, "/backlog"))) == {"backlog": 5}


async def test_what_stands_before_a_stage_is_shown_by_expression(morgue: Morgue, page: ServedPage) -> None:
    await five_waiting(morgue)

    found = await page.get(at(morgue, "/records"), where="n >= 3")
    first = await page.get(at(morgue, "/records"), count=2)
    source = await page.ask("GET", f"/api{at(morgue, '/records', stage='read')}")

    assert [one["payload"]["n"] for one in found["records"]] == [3, 4]
    assert (len(first["records"]), first["more"], found["more"]) == (2, True, False)
    assert (source.status, "is a source" in source.json["error"]["message"]) == (400, True)


async def test_a_records_way_is_told_with_its_dead_letter(morgue: Morgue, server: StreamServer) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    await morgue.bury([7], traceparent=f"00-{trace_id}-00f067aa0ba902b7-01")
    (letter,) = await morgue.letters()

    async with served(server.url, jaeger="http://jaeger:16686/") as page:
        found = await page.get(f"/pipelines/{morgue.pipeline}/records/{letter.rid}")
        nothing = await page.ask("GET", f"/api/pipelines/{morgue.pipeline}/records/read:none:1")

    dead = found["steps"][-1]
    assert (dead["stage"], dead["outcome"], dead["letter"]) == ("price", "dead-lettered", letter.id)
    assert found["traces"] == [{"id": trace_id, "url": f"http://jaeger:16686/trace/{trace_id}"}]
    assert (nothing.status, "journal" in nothing.json["error"]["fix"]) == (404, True)


async def test_workers_are_listed_with_what_they_have_in_flight(morgue: Morgue, page: ServedPage) -> None:
    morgue.handlers(
        """
        import asyncio
        begun, end = asyncio.Event(), asyncio.Event()

        async def price(order: dict) -> dict:
            begun.set()
            await end.wait()
            return order
        """
    )
    morgue.records([1])
    run = await morgue.up()
    await wait_until(lambda: hasattr(morgue.module, "begun"), what="the handlers are there")
    await morgue.module.begun.wait()

    found = await page.get(f"/pipelines/{morgue.pipeline}/workers")
    morgue.module.end.set()
    await run.ended()
    later = await page.get(f"/pipelines/{morgue.pipeline}/workers")

    (process,) = found["processes"]
    assert (process["pid"], process["gone"]) == (os.getpid(), False)
    assert process["host"] == socket.gethostname()
    one = {worker["stage"]: worker for worker in found["workers"]}["price"]
    assert (one["in_flight"], one["pid"], one["gone"]) == (1, os.getpid(), False)
    assert one["since"] <= one["last_seen"]
    assert later["processes"] == []


async def test_a_worker_that_is_gone_is_listed_as_gone(morgue: Morgue, page: ServedPage) -> None:
    await five_waiting(morgue)
    gone = "price_elsewhere.1f_42-0123456789ab"
    await morgue.redis("XREADGROUP", "GROUP", "price", gone, "COUNT", 1, "STREAMS", morgue.key("read"), ">")
    host = socket.gethostname()

    found = await page.get(f"/pipelines/{morgue.pipeline}/workers")

    (one,) = [worker for worker in found["workers"] if worker["consumer"] == gone]
    assert (one["host"], one["pid"], one["in_flight"]) == ("elsewhere", 42, 5)
    assert host  # its own processes are told by it
