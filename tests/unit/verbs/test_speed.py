"""What a verb costs per record: printed, not asserted, as machines differ. See it with `pytest -s`."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

from rsq_pipe.handlers.batch_handler import batch_handler
from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.graph import RouteCase
from rsq_pipe.spec.record_key import RecordKey
from rsq_pipe.spec.share import Share
from rsq_pipe.spec.stages.explode import Explosion
from rsq_pipe.spec.stages.field_rule import parse_rule
from rsq_pipe.spec.stages.lookup import FileRef, Lookup
from rsq_pipe.spec.stages.record_check import FieldsCheck, SchemaCheck
from rsq_pipe.spec.stages.select import Selection
from rsq_pipe.spec.stages.sql import SqlQuery
from rsq_pipe.verbs.context import Context
from rsq_pipe.verbs.explode import Explode
from rsq_pipe.verbs.filter import Filter
from rsq_pipe.verbs.lookup import FileLookup
from rsq_pipe.verbs.map import Map
from rsq_pipe.verbs.route import Route
from rsq_pipe.verbs.sample import Sample
from rsq_pipe.verbs.select import Select
from rsq_pipe.verbs.sql import Sql
from rsq_pipe.verbs.validate import ByFields, BySchema
from rsq_pipe.verbs.verb import Verb
from tests.unit.verbs.given import batch, calling, stage

RECORD = {
    "id": 10248,
    "customer": "VINET",
    "quantity": 12,
    "price": 14.5,
    "country": "France",
    "tags": [1, 2, 3, 4],
}
BATCH = batch(*({**RECORD, "id": n} for n in range(200)))
LISTS = batch(*({**RECORD, "id": n, "tags": [1, 2, 3, 4]} for n in range(200)))
ROUNDS = 20
QUERY = "select *, price * quantity as total from batch where quantity > 1"
RULES = {
    name: parse_rule(rule)
    for name, rule in {
        "id": "int",
        "customer": "str",
        "quantity": "int >= 0",
        "price": "float >= 0",
        "country": "str",
    }.items()
}
SCHEMA = {
    "properties": {
        "id": {"type": "integer"},
        "customer": {"type": "string"},
        "quantity": {"type": "integer", "minimum": 0},
        "price": {"type": "number", "minimum": 0},
        "country": {"type": "string"},
    },
    "required": ["id", "customer", "quantity", "price", "country"],
}


def same(record: dict[str, Any]) -> dict[str, Any]:
    return record


def same_with_context(record: dict[str, Any], ctx: Context) -> dict[str, Any]:
    return record


async def same_async(record: dict[str, Any]) -> dict[str, Any]:
    return record


@batch_handler
def same_batch(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return records


async def microseconds(verb: Verb, of: Batch = BATCH) -> float:
    """The best of five: the others were disturbed by something else on this machine."""
    best = float("inf")
    for _ in range(5):
        started = perf_counter()
        for _ in range(ROUNDS):
            assert sum(map(len, (await verb.process(of)).emitted.values()))
        best = min(best, perf_counter() - started)
    return best / ROUNDS / len(of) * 1e6


def dict_loop(records: list[dict[str, Any]], rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What a plain loop does for a lookup."""
    out = []
    for record in records:
        row = rows.get(record["customer"])
        out.append({**record, "name": row["name"] if row else None})
    return out


async def test_print_what_a_lookup_costs_beside_a_loop_with_a_dict(tmp_path: Path) -> None:
    rows = {f"C{n}": {"id": f"C{n}", "name": f"name {n}", "city": "Bonn"} for n in range(100_000)}
    lines = (",".join(row.values()) for row in rows.values())
    (tmp_path / "customers.csv").write_text("\n".join(["id,name,city", *lines]))
    of = batch(*({**RECORD, "id": n, "customer": f"C{n * 379}"} for n in range(200)))
    key = RecordKey("customer", (("customer",),))
    file, by = FileRef("customers.csv"), ("id",)
    best = float("inf")
    for _ in range(5):
        started = perf_counter()
        for _ in range(ROUNDS):
            dict_loop(of.records, rows)
        best = min(best, perf_counter() - started)
    loop = best / ROUNDS / len(of) * 1e6
    print(f"\nlookup, a loop with a dict {loop:6.2f} us/record")
    for name, lookup in {
        "fields": Lookup(file, key, by, fields={"name": "name"}),
        "as": Lookup(file, key, by, name="row"),
    }.items():
        verb = FileLookup("price", lookup, tmp_path)
        await verb.open()
        took = await microseconds(verb, of)
        print(f"lookup {name:<20}{took:6.2f} us/record, {loop / took:.2f} of the loop's rate")


async def test_print_microseconds_per_record() -> None:
    total = compile_expression("price * quantity")
    verbs: dict[str, Verb] = {
        "map": Map("price", {"total": total}),
        "filter": Filter("price", compile_expression("quantity > 1")),
        "route": Route("price", [RouteCase("a", compile_expression("quantity > 100")), RouteCase("b", None)]),
        "select two": Select("price", Selection(((("id",), ("id",)), (("price",), ("net",))))),
        "select drop": Select("price", Selection(drop=(("country",),))),
        "select rename": Select("price", Selection(rename=((("price",), ("net",)),))),
        "sample": Sample("price", Share("50%", 0.5)),
        "validate fields": ByFields("price", FieldsCheck(RULES)),
        "validate schema": BySchema("price", SchemaCheck("order.json", SCHEMA)),
    }
    print()
    for handler in (same, same_with_context, same_async, same_batch):
        async with calling(handler) as call:
            print(f"call {handler.__name__:<18}{await microseconds(call.verb):6.2f} us/record")
    for name, verb in verbs.items():
        print(f"{name:<23}{await microseconds(verb):6.2f} us/record")
    for count in (1, 20, 200, 500):
        some = batch(*({**RECORD, "id": n} for n in range(count)))
        sql = Sql(stage("price", "sql", SqlQuery(QUERY)), Path())
        print(f"{f'sql, {count} at once':<23}{await microseconds(sql, some):6.2f} us/record")
        await sql.close()
    exploded = await microseconds(Explode("price", Explosion(("tags",), "tags")), LISTS)
    print(f"{'explode into 4':<23}{exploded:6.2f} us/record")
