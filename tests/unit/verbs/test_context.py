from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import structlog

from rsq_pipe.verbs.context import Context, Values
from tests.unit.verbs.given import batch_of, calling, one, outcomes, stage

VALUES = Values({"customers": "c.csv", "limits": {"large": [1, {"a": 2}]}, "items": 3}, "enrich")


async def test_a_handler_that_asks_for_ctx_knows_where_it_is_and_what_it_handles() -> None:
    seen: list[Context] = []

    def handler(record: dict[str, Any], ctx: Context) -> None:
        seen.append(ctx)

    async with calling(handler, stage("enrich", values={"customers": "c.csv"})) as verb:
        await verb.process(batch_of(one({}, "read:7", 1, source="x"), one({}, "clicks:1-0")))

    ctx, first_time = seen
    assert (ctx.stage, ctx.pipeline, ctx.root) == ("enrich", "orders", Path())
    assert (ctx.values.customers, ctx.values["customers"]) == ("c.csv", "c.csv")
    assert (ctx.rid, ctx.attempt) == ("read:7", 2)
    assert ctx.headers == {"rsq-rid": "read:7", "rsq-attempts": "1", "source": "x"}
    assert (first_time.rid, first_time.attempt) == ("clicks:1-0", 1)
    assert first_time.headers == {"rsq-rid": "clicks:1-0"}


async def test_headers_cannot_be_changed_through_the_context() -> None:
    def handler(record: dict[str, Any], ctx: Context) -> None:
        ctx.headers["rsq-rid"] = "mine"  # type: ignore[index]

    [failed] = await outcomes(handler, {})

    assert isinstance(failed.error, TypeError)


async def test_the_logger_names_pipeline_stage_and_record() -> None:
    def handler(record: dict[str, Any], ctx: Context) -> None:
        ctx.logger.info("seen", n=record["n"])

    with structlog.testing.capture_logs() as logs:
        await outcomes(handler, {"n": 1})

    assert json.loads(json.dumps(logs)) == [
        {
            "event": "seen",
            "log_level": "info",
            "n": 1,
            "pipeline": "orders",
            "stage": "price",
            "rid": "read:0",
        }
    ]


def test_values_are_read_by_attribute_and_by_item_at_any_depth() -> None:
    assert VALUES.limits.large[1].a == 2
    assert VALUES["limits"]["large"] == (1, {"a": 2})
    assert VALUES["items"] == 3
    assert dict(VALUES) == {"customers": "c.csv", "limits": VALUES.limits, "items": 3}


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="change `with:`"):
        VALUES.customers = "other"
    with pytest.raises(TypeError):
        VALUES["customers"] = "other"
    with pytest.raises(TypeError):
        VALUES.limits.large[0] = 5


def test_a_value_that_is_not_there_is_an_error_that_suggests_one() -> None:
    with pytest.raises(
        AttributeError, match=r"stage 'enrich' has no 'custmers' .* did you mean 'customers'\?"
    ):
        _ = VALUES.custmers
    with pytest.raises(KeyError, match="did you mean 'customers'"):
        _ = VALUES["custmers"]
    assert VALUES.get("custmers") is None


def test_printing_values_shows_no_value() -> None:
    assert "c.csv" not in repr(VALUES)
