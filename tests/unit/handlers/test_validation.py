# No `from __future__ import annotations` here: the twin test_future_annotations.py has it.
import dataclasses
import datetime as dt
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
import typing_extensions
from pydantic import BaseModel, Field

from rsq_pipe.errors import HandlerContractError, RecordInvalidError
from rsq_pipe.handlers.handler import describe
from rsq_pipe.model.outcome import Failure
from tests.unit.verbs.given import outcomes

ORDER = {"id": "7", "day": "2026-01-02", "lines": [{"quantity": 2}]}


class Line(BaseModel):
    quantity: int


class Order(BaseModel):
    id: int
    day: dt.date
    lines: list[Line]


@dataclasses.dataclass
class DataLine:
    quantity: int


@dataclasses.dataclass
class DataOrder:
    id: int
    day: dt.date
    lines: list[DataLine]


class DictLine(TypedDict):
    quantity: int


class DictOrder(TypedDict):
    id: int
    day: dt.date
    lines: list[DictLine]
    note: NotRequired[str]


class ExtendedDictOrder(typing_extensions.TypedDict):
    id: int
    day: dt.date
    lines: list[DictLine] | None


@pytest.mark.parametrize("annotation", [Order, DataOrder, DictOrder, ExtendedDictOrder])
async def test_a_record_comes_as_what_the_annotation_says_and_goes_as_a_dict(annotation: Any) -> None:
    seen: list[Any] = []

    def handler(order: annotation) -> Any:
        seen.append(order)
        return order

    [outcome] = await outcomes(handler, ORDER)

    day = seen[0]["day"] if isinstance(seen[0], dict) else seen[0].day
    assert day == dt.date(2026, 1, 2)
    assert outcome == {"id": 7, "day": "2026-01-02", "lines": [{"quantity": 2}]}


@pytest.mark.parametrize("annotation", [Order, DataOrder, DictOrder])
async def test_a_record_that_does_not_validate_fails_for_good_and_says_all_that_is_wrong(
    annotation: Any,
) -> None:
    called: list[Any] = []

    def handler(order: annotation) -> None:
        called.append(order)

    [failed] = await outcomes(handler, {"id": "x" * 500, "lines": [{"quantity": "three"}]})

    assert not failed.retryable
    assert isinstance(failed.error, RecordInvalidError)
    assert failed.error.fields.keys() == {"id", "day", "lines.0.quantity"}
    text = str(failed.error)
    assert text.startswith(f"stage 'price': the record is not a valid {annotation.__name__}: ")
    assert "day: Field required" in text
    assert "(got 'three')" in text
    assert called == []


async def test_the_message_carries_no_url_and_no_payload() -> None:
    def handler(order: Order) -> None: ...

    [failed] = await outcomes(handler, {"id": "secret" * 100, "lines": {"a": "b" * 1000}})

    printed = "".join(traceback.format_exception(failed.error))
    assert "http" not in printed.replace(str(Path(__file__).parents[3]), "")  # a checkout may be named so
    assert "secret" * 20 not in printed
    assert "a dict of 1" in printed


async def test_only_the_first_ten_mistakes_are_listed() -> None:
    def handler(order: Order) -> None: ...

    lines = [{"quantity": "x"}] * 30
    [failed] = await outcomes(handler, {"id": 1, "day": "2026-01-02", "lines": lines})

    assert len(failed.error.fields) == 10
    assert str(failed.error).endswith("; and 20 more")


async def test_a_tagged_union_of_models_is_honoured() -> None:
    class Refund(BaseModel):
        kind: Literal["refund"]

    class Sale(BaseModel):
        kind: Literal["sale"]

    def handler(event: Annotated[Refund | Sale, Field(discriminator="kind")]) -> dict[str, Any]:
        return {"type": type(event).__name__}

    found = await outcomes(handler, {"kind": "sale"}, {"kind": "refund"}, {"kind": "gift"})

    assert found[:2] == [{"type": "Sale"}, {"type": "Refund"}]
    assert isinstance(found[2], Failure)


async def test_a_typed_dict_may_leave_out_what_its_base_does_not_require() -> None:
    class Base(TypedDict, total=False):
        note: str

    class Child(Base):
        id: int

    def handler(order: Child) -> Any:
        return order

    found = await outcomes(handler, {"id": 1}, {"note": "x"})

    assert found[0] == {"id": 1}
    assert isinstance(found[1], Failure)


@pytest.mark.parametrize("annotation", [int, str, list[Order], None])
def test_an_annotation_no_record_can_become_is_refused(annotation: Any) -> None:
    def handler(record: annotation) -> None: ...

    with pytest.raises(HandlerContractError, match="parameter 'record': a record cannot become"):
        describe(handler)


async def test_a_model_whose_validator_raises_something_else_fails_its_record_alone() -> None:
    @dataclasses.dataclass
    class Picky:
        n: int

        def __post_init__(self) -> None:
            if self.n == 0:
                raise LookupError("no zero")

    def handler(record: Picky) -> Picky:
        return record

    found = await outcomes(handler, {"n": 0}, {"n": 1})

    assert isinstance(found[0].error, LookupError)
    assert found[1] == {"n": 1}
