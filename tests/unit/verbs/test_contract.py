from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, RootModel

from rsq_pipe.errors import HandlerContractError
from rsq_pipe.model.outcome import Drop, Emit, Failure, Retry
from rsq_pipe.verbs.contract import Contract

CONTRACT = Contract("price", "orders:price", ports={"", "large"})
DAY = dt.date(2026, 1, 2)
ID = uuid.UUID(int=7)


class Color(enum.Enum):
    RED = "red"


class Model(BaseModel):
    day: dt.date = DAY
    total: Decimal = Decimal("1.50")
    color: Color = Color.RED
    id: uuid.UUID = ID


@dataclasses.dataclass
class Data:
    day: dt.date = DAY
    total: Decimal = Decimal("1.50")
    color: Color = Color.RED
    id: uuid.UUID = ID


class Struct(msgspec.Struct):
    day: dt.date = DAY
    total: Decimal = Decimal("1.50")
    color: Color = Color.RED
    id: uuid.UUID = ID


ENCODABLE = {"day": "2026-01-02", "total": "1.50", "color": "red", "id": str(ID)}


@pytest.mark.parametrize("model", [Model(), Data(), Struct()])
def test_a_model_becomes_a_record_of_what_json_knows(model: Any) -> None:
    assert CONTRACT.outcome(model) == ENCODABLE


def test_models_inside_lists_emits_and_dataclasses_become_records_too() -> None:
    @dataclasses.dataclass
    class Outer:
        inner: Model

    assert CONTRACT.outcome([Model(), Emit(Data(), "large")]) == [  # type: ignore[arg-type]
        ENCODABLE,
        Emit(ENCODABLE, "large"),
    ]
    assert CONTRACT.outcome(Outer(Model())) == {"inner": ENCODABLE}


def test_a_record_validated_as_a_typed_dict_is_made_encodable() -> None:
    contract = Contract("price", "orders:price", plain=False)

    assert contract.outcome({"day": DAY, "lines": [{"total": Decimal(2)}]}) == {
        "day": "2026-01-02",
        "lines": [{"total": "2"}],
    }


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        (5, "an int"),
        ("text", "a str"),
        (({},), "a tuple"),
        (True, "a bool"),
        ([{}, None], "a list that holds a NoneType; it may hold dicts, models and Emit"),
        ([Drop()], "a list that holds a Drop; it may hold dicts, models and Emit"),
        (Failure(ValueError()), "a Failure"),
        ((n for n in [1]), "a generator"),
        (Emit(record=3), "an int"),  # type: ignore[arg-type]
        (Model, "a ModelMetaclass"),
        (RootModel[list[int]]([1]), "a RootModel"),
    ],
)
def test_anything_else_is_an_error_that_names_stage_handler_and_type(returned: Any, kind: str) -> None:
    with pytest.raises(HandlerContractError) as caught:
        CONTRACT.outcome(returned)

    assert f"stage 'price': handler 'orders:price' returned {kind}" in str(caught.value)
    assert caught.value.stage == "price"


def test_a_port_that_nobody_reads_is_an_error_that_names_the_ports() -> None:
    with pytest.raises(HandlerContractError, match=r"port 'larg'.*ports read: large.*from: price\.larg"):
        CONTRACT.outcome(Emit({}, to="larg"))


def test_a_reason_that_is_not_a_string_is_an_error() -> None:
    with pytest.raises(HandlerContractError, match="gave a drop a reason that is not a string: an int"):
        CONTRACT.outcome(Drop(7))  # type: ignore[arg-type]


def test_a_header_that_is_not_a_string_is_an_error() -> None:
    with pytest.raises(HandlerContractError, match="header 'n'"):
        CONTRACT.outcome(Emit({}, headers={"n": 1}))  # type: ignore[dict-item]


@pytest.mark.parametrize("after", [None, 0, 1.5, "30s", "200ms"])
def test_a_retry_waits_for_seconds_a_duration_or_the_backoff(after: Any) -> None:
    assert CONTRACT.outcome(Retry(after)) == Retry(after)


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), "soon", [1], 10**400, 1e300, "9999999d"])
def test_a_retry_that_cannot_be_due_is_an_error(after: Any) -> None:
    with pytest.raises(HandlerContractError, match="returned Retry"):
        CONTRACT.outcome(Retry(after))


def test_a_model_with_a_value_that_has_no_json_form_is_an_error() -> None:
    @dataclasses.dataclass
    class Odd:
        value: object

    with pytest.raises(HandlerContractError, match="cannot be encoded"):
        CONTRACT.outcome(Odd(object()))


@pytest.mark.parametrize(
    ("emitted", "said"),
    [
        (Emit(Emit({"a": 1})), "returned an Emit; return a dict"),  # type: ignore[arg-type]
        (Emit({"a": 1}, headers=["x"]), "emitted headers that are a list; give a dict"),  # type: ignore[arg-type]
        (Emit({"a": 1}, headers="x"), "emitted headers that are a str; give a dict"),  # type: ignore[arg-type]
        (Emit({"a": 1}, to=["large"]), "emitted to port \\['large'\\], which no stage reads"),  # type: ignore[arg-type]
        (Emit({"a": 1}, to=1), "emitted to port 1, which no stage reads"),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_an_emit_of_anything_but_a_record_a_port_and_headers_is_refused(emitted: Emit, said: str) -> None:
    for value in (emitted, [{"b": 1}, emitted]):
        with pytest.raises(HandlerContractError, match=said):
            CONTRACT.outcome(value)
