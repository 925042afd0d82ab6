"""Dead letters over the API: by cause, page by page, one, mended."""

from __future__ import annotations

import time

from tests.integration.ops.shop import Shop
from tests.support.served_page import ServedPage


def at(shop: Shop, rest: str = "", stage: str = "price") -> str:
    return f"/pipelines/{shop.pipeline}/stages/{stage}/letters{rest}"


async def test_letters_are_told_by_cause(shop: Shop, page: ServedPage) -> None:
    shop.records(range(3))
    shop.records([3], price={})
    await shop.run()

    found = await page.get(at(shop, "/groups"))

    told = [(one["error_type"], one["message"], one["count"]) for one in found["groups"]]
    assert told == [("ValueError", "order # has no price", 3), ("TypeError", told[1][1], 1)]
    assert found["total"] == 4
    assert (await page.get(f"/pipelines/{shop.pipeline}/letters/groups"))["groups"] == found["groups"]


async def test_letters_come_page_by_page(shop: Shop, page: ServedPage) -> None:
    ids = await shop.add_letters(range(250))

    seen, after = [], ""
    while True:
        found = await page.get(at(shop), count=100, after=after)
        seen += [one["id"] for one in found["letters"]]
        after = found["next"]
        if not after:
            break

    assert (seen, found["total"]) == (ids, 250)
    newest = await page.get(at(shop), count=3, order="newest")
    assert [one["id"] for one in newest["letters"]] == ids[:-4:-1]


async def test_letters_are_searched_by_expression_and_by_cause(shop: Shop, page: ServedPage) -> None:
    ids = await shop.add_letters(range(20))
    group = (await page.get(at(shop, "/groups")))["groups"][0]["group"]

    some = await page.get(at(shop), where="n % 5 == 0 and dlq['attempts'] == 3")
    odd = await page.get(at(shop), where="nothing > 1")

    assert [one["id"] for one in some["letters"]] == ids[::5]
    assert (odd["letters"], odd["passed_over"]) == ([], 20)
    assert "nothing" in odd["why"]
    assert len((await page.get(at(shop), group=group))["letters"]) == 20
    assert (await page.get(at(shop), group="0" * 16))["letters"] == []
    assert {one["group"] for one in some["letters"]} == {group}


async def test_a_letter_is_shown_whole(shop: Shop, page: ServedPage) -> None:
    (name,) = await shop.add_letters([7], tenant="acme")

    found = await page.get(at(shop, f"/{name}"))

    assert (found["payload"], found["headers"]["tenant"], found["rid"]) == ({"n": 7}, "acme", "read:7")
    assert "there is no price" in found["traceback"]
    assert (await page.ask("GET", f"/api{at(shop, '/1-1')}")).status == 404
    assert (await page.ask("GET", f"/api{at(shop, '/nonsense')}")).status == 400


async def test_a_letter_is_shown_mended_and_nothing_is_written(shop: Shop, page: ServedPage) -> None:
    (name,) = await shop.add_letters([7])

    said = {"price": "10", "country": "DE", "total": "= n * price", "inner.tags": ["a"]}
    found = await page.post(at(shop, f"/{name}/mend"), set=said)

    assert found.json == {
        "before": {"n": 7},
        "after": {"n": 7, "price": 10, "country": "DE", "total": 70, "inner": {"tags": ["a"]}},
        "changed": ["country", "inner", "price", "total"],
    }
    assert (await page.get(at(shop, f"/{name}")))["payload"] == {"n": 7}
    whole = await page.post(at(shop, f"/{name}/mend"), payload={"n": 8})
    assert whole.json["after"] == {"n": 8}


async def test_a_mend_that_cannot_be_says_why(shop: Shop, page: ServedPage) -> None:
    (name,) = await shop.add_letters([7])
    where = at(shop, f"/{name}/mend")

    missing = await page.post(where, set={"total": "= n * prize"})
    wrong = await page.post(where, set={"total": "= n *"})
    list_ = await page.post(where, set=["n"])

    assert (missing.status, wrong.status, list_.status) == (409, 400, 400)
    assert "'prize'" in missing.json["error"]["message"]
    assert "not an expression" in wrong.json["error"]["message"]


async def test_a_stage_that_is_none_is_told_with_the_one_that_is_meant(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])

    found = await page.ask("GET", f"/api{at(shop, stage='prize')}")

    assert (found.status, "price" in found.json["error"]["message"]) == (404, True)


async def test_queries_that_are_none_are_refused(shop: Shop, page: ServedPage) -> None:
    await shop.add_letters([1])

    for query in ({"count": "0"}, {"count": "x"}, {"order": "up"}, {"after": "x"}, {"where": "n +"}):
        assert (await page.ask("GET", f"/api{at(shop)}", params=query)).status == 400, query


async def test_the_last_page_of_many_letters_costs_what_the_first_does(shop: Shop, page: ServedPage) -> None:
    ids = await shop.add_letters(range(5_000))
    await page.get(at(shop, "/groups"))

    async def seconds(after: str) -> float:
        began = time.perf_counter()
        assert len((await page.get(at(shop), count=100, after=after))["letters"]) == 100
        return time.perf_counter() - began

    first = min([await seconds("") for _ in range(5)])
    last = min([await seconds(ids[-101]) for _ in range(5)])
    assert last < 5 * first


async def test_groups_follow_what_comes_and_what_goes(shop: Shop, page: ServedPage) -> None:
    ids = await shop.add_letters(range(5))
    counts = []
    for _ in range(2):
        counts.append((await page.get(at(shop, "/groups")))["total"])
        await shop.add_letters(range(5, 8))
    counts.append((await page.get(at(shop, "/groups")))["total"])
    await shop.redis("XDEL", shop.key("price:dlq"), *ids)
    counts.append((await page.get(at(shop, "/groups")))["total"])

    assert counts == [5, 8, 11, 6]
