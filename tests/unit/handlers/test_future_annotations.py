from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pytest
from pydantic import BaseModel

from rsq_pipe.errors import HandlerContractError
from rsq_pipe.handlers.batch_handler import batch_handler
from rsq_pipe.handlers.handler import describe
from rsq_pipe.model.outcome import Failure
from tests.unit.verbs.given import outcomes

if TYPE_CHECKING:
    from decimal import Decimal


class Order(BaseModel):
    day: dt.date


class DictOrder(TypedDict):
    day: dt.date
    note: NotRequired[str]


def per_record(order: Order) -> dict[str, Any]:
    return {"year": order.day.year}


def per_dict(order: DictOrder) -> dict[str, Any]:
    return {"year": order["day"].year}


@batch_handler
def per_batch(orders: list[Order]) -> list[dict[str, Any]]:
    return [per_record(order) for order in orders]


def unresolvable(price: Decimal) -> None: ...


class Incomplete(BaseModel):
    price: Decimal


def incomplete(order: Incomplete) -> None: ...


def unresolvable_return(order: Order) -> Decimal: ...  # type: ignore[empty-body]


@pytest.mark.parametrize("handler", [per_record, per_dict, per_batch])
async def test_annotations_that_are_strings_at_run_time_are_honoured(handler: Any) -> None:
    found = await outcomes(handler, {"day": "2026-01-02"}, {"day": "never"})

    assert found[0] == {"year": 2026}
    assert isinstance(found[1], Failure)


def test_an_annotation_that_means_nothing_at_run_time_is_refused_with_the_fix() -> None:
    with pytest.raises(
        HandlerContractError, match=r"'Decimal' means nothing at run time.*not under TYPE_CHECKING"
    ):
        describe(unresolvable)


def test_only_the_records_annotation_is_evaluated() -> None:
    assert describe(unresolvable_return).annotation is Order


async def test_a_model_that_names_what_does_not_exist_at_run_time_is_refused_before_the_first_record() -> (
    None
):
    with pytest.raises(HandlerContractError, match=r"cannot be validated as Incomplete: .*Decimal"):
        await outcomes(incomplete)
