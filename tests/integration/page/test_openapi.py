"""The API is what its description says: paths, answers, bodies."""

from __future__ import annotations

import re
from pathlib import Path

from jsonschema import Draft202012Validator

from rsq_pipe.page.app import PARTS
from rsq_pipe.page.openapi import document
from rsq_pipe.page.openapi_shapes import SCHEMAS
from tests.integration.ops.shop import Shop
from tests.support.served_page import ServedPage

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"


def test_every_route_is_described_and_nothing_else() -> None:
    described = {(path, method.upper()) for path, of in document()["paths"].items() for method in of}
    routes = {
        (re.sub(r":\w+}", "}", route.path), method)
        for part in PARTS
        for route in part.ROUTES
        for method in (route.methods or set()) - {"HEAD"}
    }

    assert routes == described


def test_every_shape_is_one_and_is_used() -> None:
    text = str(document())
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert f"#/components/schemas/{name}'" in text, name


async def test_the_description_is_served(page: ServedPage) -> None:
    found = await page.get("/openapi.json")

    assert found == document()
    assert found["openapi"].startswith("3.1")


async def test_what_can_be_read_of_a_pipeline_answers_as_described(shop: Shop, page: ServedPage) -> None:
    shop.spec(
        """
        read: {source: {type: jsonl, path: '*.jsonl'}}
        once: {dedupe: {key: n, within: 1h}}
        price: {call: 'handlers:price', retry: {attempts: 1}}
        sums: {aggregate: {every: 1h, on: at, late: 1m, compute: {orders: count()}}}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
        """
    )
    shop.records(range(20), price=1, at="2026-11-27T08:00:00Z")
    shop.records([99])
    await shop.run()
    (letter,) = await shop.letters()
    places = {"pipeline": shop.pipeline, "stage": "price", "letter": letter.id, "record": letter.rid}
    done = await page.post(
        f"/pipelines/{shop.pipeline}/stages/price/letters/replay", ids=[letter.id], confirm=1
    )
    places["job"] = done.json["job"]["id"]
    await shop.add_letters([5])
    again = (await shop.letters())[-1]
    places |= {"letter": again.id, "record": again.rid}

    for path, of in document()["paths"].items():
        if "get" in of and not path.endswith("/events"):
            await page.get(path.format(**places))  # which holds the answer against what is described
    for stage in shop.graph.stages:
        await page.get(f"/pipelines/{shop.pipeline}/stages/{stage.name}")


def test_the_reference_names_every_path() -> None:
    text = REFERENCE.read_text()
    named = set(re.findall(r"`(?:GET|POST) (/[^`?]*)", text))

    assert {re.sub(r"{(\w+)}", lambda name: name[1].upper(), path) for path in document()["paths"]} == named
