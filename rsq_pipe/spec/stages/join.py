"""join in a file: records of two inputs that belong together, merged into one."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import Field, ValidationError, WithJsonSchema, model_validator

from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.models import OneInput, Output, Settings, StageSettings
from rsq_pipe.spec.record_key import KEY_SCHEMA, RecordKey, check_key, read_key
from rsq_pipe.spec.stages.select import top_level_name
from rsq_pipe.suggestion import suggest
from rsq_pipe.units import Duration, OneOrMore

SIDES = ("left", "right")
"""The two inputs, in the order of `Stage.inputs`; also the ports of records without a match."""

_COMPARED = re.compile(r"([\w.]+)\s*={1,2}\s*([\w.]+)")
"""A condition on both sides, as in other tools."""

Kind = Literal["inner", "left", "outer"]

_ON = {
    "type": "object",
    "properties": dict.fromkeys(SIDES, KEY_SCHEMA),
    "required": list(SIDES),
    "additionalProperties": False,
}


class JoinNames(Settings):
    """The fields of the joined record that hold the two records."""

    left: str = Field(default="", description="Left out: the fields of the left record are at the top level.")
    right: str = Field(default="", description="Left out: the name of the right stage, or of its port.")


class Join(Settings):
    """Two inputs, what makes their records belong together, and how long one waits for the other."""

    left: OneInput = Field(description="The stage, port or stream whose records are joined.")
    right: OneInput = Field(description="The stage, port or stream whose records they are joined with.")
    on: Annotated[Any, WithJsonSchema({"anyOf": [*KEY_SCHEMA["anyOf"], _ON]})] = Field(
        description="The field, fields or expression whose value both records share, or `{left: ..., right: "
        "...}` if the two sides differ. null matches nothing."
    )
    within: Duration | None = Field(
        default=None,
        gt=0,
        description="How long a record waits for others, counted from its arrival; left out: until both "
        "inputs have ended.",
    )
    kind: Kind = Field(
        default="inner",
        description="What goes on: pairs; `left`: also left records that found no other, with null in its "
        "place; `outer`: those of both sides.",
    )
    as_: JoinNames = Field(
        default=JoinNames(), alias="as", description="The fields that hold the two records."
    )
    max_keys: OneOrMore = Field(
        default=1_000_000, description="Records that wait at once, at most; at more the stage halts."
    )

    @model_validator(mode="after")
    def _named(self) -> Join:
        names = self.as_
        if self.kind == "outer" and not names.left:
            raise ValueError(
                "with `kind: outer` a record may have no left side, so that side needs its own field; "
                "add `as: {left: NAME}`"
            )
        if names.left and names.left == names.right:
            raise ValueError(f"both sides are named {names.left!r}; choose another name for one of them")
        return self


class JoinStage(StageSettings):
    """Join records of two inputs that belong together; both wait in the stage's state."""

    join: Join = Field(description="The inputs, and what makes their records belong together.")
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")


class Joining(Struct, frozen=True):
    """
    Define how records of two inputs are joined.

    Args:
        left, right: The key of a record of that side.
        left_name: The field that holds the left record; empty if its fields are at the top level.
        right_name: The field that holds the right record.
        within: Seconds for which a record waits; None until both inputs have ended.
        kind: Which records without a partner are passed on.
        max_keys: Maximum number of waiting records.
    """

    left: RecordKey
    right: RecordKey
    left_name: str
    right_name: str
    within: float | None = None
    kind: Kind = "inner"
    max_keys: int = 1_000_000

    @property
    def text(self) -> str:
        """The join in a few words."""
        left, right = self.left.text, self.right.text
        on = left if left == right else f"{left} = {right}"
        return f"{'' if self.kind == 'inner' else self.kind + ' '}on {on}"

    def keeps(self, side: str) -> bool:
        """Return whether a record of that side without a partner is passed on, with null in its place."""
        return self.kind in {"outer", side}


def sides_of(stage: Stage, pipeline: str) -> dict[str, str]:
    """Return the side of each input stream of a join; empty for other stages."""
    if not isinstance(stage.options, Joining):
        return {}
    return {ref.key(pipeline): side for ref, side in zip(stage.inputs, SIDES, strict=True)}


def read_join(document: Document, value: Any, path: Path_) -> Joining | None:
    """Read how a stage joins, reporting every mistake in keys and names; others are already reported."""
    keys = _keys(document, value.get("on"), (*path, "on")) if isinstance(value, dict) else None
    try:
        settings = Join.model_validate(value)
    except ValidationError:
        return None
    names = settings.as_
    for side in SIDES:
        top_level_name(document, getattr(names, side), (*path, "as", side))
    right = names.right or _last_name(settings.right)
    if names.left == right:
        what = f"the left side is named {right!r}, as the right side is when nothing else is said"
        document.report((*path, "as", "left"), what, "choose another name, or name the right side, too")
    if keys is None or document.failed(path):
        return None
    return Joining(*keys, names.left, right, settings.within, settings.kind, settings.max_keys)


def _last_name(value: Any) -> str:
    """Name an input by its stage or port."""
    name = value["stream"] if isinstance(value, dict) else str(value)
    return str(name).rpartition(".")[2]


def _keys(document: Document, value: Any, path: Path_) -> tuple[RecordKey, RecordKey] | None:
    """Read the keys by which the records of the two sides are matched."""
    if value is None:  # a missing one is reported elsewhere
        return None
    if isinstance(value, str) and (compared := _COMPARED.fullmatch(value.strip())):
        what = f"{value!r} compares, and a key is what a record of each side has by itself"
        document.report(path, what, _as_keys(*compared.groups()))
        return None
    if not isinstance(value, dict):
        found = _side(document, value, path)
        return None if found is None else (found, found)
    for key in value:
        if key not in SIDES:
            document.report((*path, key), f"unknown key {key!r}", suggest(str(key), SIDES), key=True)
            return None
    missing = [side for side in SIDES if side not in value]
    if missing:
        what = f"add `{missing[0]}: ...`, what the key of the {missing[0]} side is"
        document.report(path, f"{missing[0]!r} is missing", what, key=True)
        return None
    left, right = (_side(document, value[side], (*path, side)) for side in SIDES)
    if left is None or right is None:
        return None
    if len(left.fields) != len(right.fields) and max(len(left.fields), len(right.fields)) > 1:
        what = f"the left key has {_parts(left)}, and the right key has {_parts(right)}"
        document.report(path, what, "write as many on both sides, in the same order", key=True)
        return None
    return left, right


def _as_keys(first: str, second: str) -> str:
    """Return how to write the two sides of a comparison, `orders.id == payments.order`, as keys."""
    if "." in first and "." in second:  # as in SQL, where the side precedes its field
        first, second = first.partition(".")[2], second.partition(".")[2]
    return f"write {first}" if first == second else f"write {{left: {first}, right: {second}}}"


def _side(document: Document, value: Any, path: Path_) -> RecordKey | None:
    try:
        check_key(value)
    except ValueError as exc:
        document.report_error(path, exc)
        return None
    return read_key(document, value, path)


def _parts(key: RecordKey) -> str:
    count = max(1, len(key.fields))
    return "one part" if count == 1 else f"{count} parts"
