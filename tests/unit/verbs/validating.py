"""A stage that validates, for the tests of `validate`."""

from __future__ import annotations

from rsq_pipe.testing import StageRun

READ = "read: {source: {type: jsonl, path: '*.jsonl'}}\n"
OUT = "\nout: {sink: {type: jsonl, path: out/all.jsonl}}"
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "total": {"type": "number", "minimum": 0},
        "lines": {"items": {"required": ["price"], "properties": {"price": {"type": "number"}}}},
    },
    "required": ["id", "placed"],
}
CLASSES = ("Model", "Data", "Typed", "Packed")
MODELS = """
import dataclasses
import datetime as dt
import threading
import time
from typing import NotRequired, TypedDict

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

seen = set()


class Model(BaseModel):
    id: int
    placed: dt.date
    total: float = Field(default=0.0, ge=0)


@dataclasses.dataclass
class Data:
    id: int
    placed: dt.date
    total: float = 0.0


class Typed(TypedDict):
    id: int
    placed: dt.date
    total: NotRequired[float]


class Packed(msgspec.Struct):
    id: int
    placed: dt.date
    total: float = 0.0


class Renamed(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    order_id: int
    placed_on: dt.date


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=False)
    number: int = Field(alias="orderId")


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: int


class Own(BaseModel):
    id: int

    @field_validator("id")
    @classmethod
    def looked_at(cls, value):
        seen.add(threading.current_thread() is threading.main_thread())
        if value == 0: raise ValueError("no order has number 0")
        if value == 1: raise ConnectionError("nobody answers")
        if value == 2: time.sleep(1)
        return value


class Broken(BaseModel):
    id: "Nowhere"


def function(record): return record
"""


def errors(run: StageRun) -> list[str]:
    assert {letter.reason for letter in run.dead} <= {"invalid_record"}
    return [str(letter.error).partition(" is not ")[2] for letter in run.dead]
