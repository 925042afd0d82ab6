"""Source `generate`: records made from expressions, for trying out a pipeline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, WithJsonSchema

from rsq_pipe.connectors.closing import WaitingSource
from rsq_pipe.connectors.computed import Expression
from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.units import OneOrMore, Rate, parse_rate

TICK = 0.05
"""Minimum seconds between two chunks of a source with a `rate`."""

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15

_TEXTS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
    "minProperties": 1,
}


class Options(Settings):
    """Settings of the `generate` source: records made from expressions, the same ones in every run."""

    expressions: ClassVar[tuple[str, ...]] = ("fields",)
    names: ClassVar[tuple[str, ...]] = ("n", "random")
    """Names that the expressions may read, in addition to the fields above."""

    count: OneOrMore | None = Field(
        default=None, description="How many records there are. Default: no end until the run is stopped."
    )
    rate: Rate | None = Field(
        default=None, description="How many per second: `100/s`. Default: as fast as the pipeline takes them."
    )
    fields: Annotated[dict[str, Any], Field(min_length=1), WithJsonSchema(_TEXTS)] = Field(
        default={"n": "n"},
        description="Field -> expression. It may use `n`, the record's number from 0, `random`, a number "
        "from 0 up to 1 that differs for each field and record, and the fields above.",
    )
    seed: int = Field(default=0, description="Another seed gives other random numbers.")


def connect(options: Options, *, stage: str, root: Path) -> GenerateSource:  # noqa: ARG001  every connector's signature
    """Make the source of a stage."""
    return GenerateSource(options)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return an endpoint that needs nothing."""
    return Endpoint("records made by expressions", lambda _: None)


class GenerateSource(WaitingSource):
    """
    Yield records by number; one whose expression has no value becomes a broken arrival.

    Args:
        options: The settings; the expressions are compiled.
    """

    resumable = True

    def __init__(self, options: Options) -> None:
        super().__init__()
        fields: Mapping[str, Expression] = options.fields
        self._count = options.count
        self._pace = parse_rate(options.rate) if options.rate else 0.0
        self._draws = Draws(options.seed, len(fields))
        self._fields = [(name, one.evaluate, one.why) for name, one in fields.items()]
        self._made_so_far: int | None = None

    def shards(self) -> Sequence[str]:
        """Name the only shard."""
        return ["numbers"]

    def _read(self, position: str, size: int, stopped: threading.Event) -> Iterator[Chunk]:
        """Yield the records from the number `position` on, no faster than the rate allows."""
        number, first, began = int(position or 0), int(position or 0), time.monotonic()
        self._made_so_far = number
        while not stopped.is_set() and (self._count is None or number < self._count):
            until = number + size
            if self._pace:
                due = first + 1 + int((time.monotonic() - began) * self._pace)
                if due <= number:
                    wait = (number - first) / self._pace - (time.monotonic() - began)
                    if stopped.wait(max(wait, TICK)):
                        return
                    continue
                until = min(until, due)
            if self._count is not None:
                until = min(until, self._count)
            yield Chunk.of([self._made(at) for at in range(number, until)], str(until))
            number = self._made_so_far = until

    def share(self) -> float | None:
        """Return the share of the records that has been made, 0 to 1; None if unknown."""
        made = self._made_so_far
        return made / self._count if self._count and made is not None else None

    def _made(self, number: int) -> Arrival:
        known: dict[str, Any] = {"n": number}
        record: dict[str, Any] = {}
        for place, (name, value, why_not) in enumerate(self._fields):
            known["random"] = self._draws.of(number, place)
            try:
                record[name] = value(known)
            except Exception as exc:  # noqa: BLE001  an expression may raise anything
                why = f"record {number}: field {name!r}: {why_not(exc)}"
                return Arrival(str(number), None, str(record).encode(), why)
            if name not in ("n", "random"):
                known[name] = record[name]
        return Arrival(str(number), record)


class Draws:
    """
    Draw numbers from 0 up to 1, evenly distributed, by SplitMix64.

    They depend only on seed, record and field, so any of them can be drawn again.

    Args:
        seed: Selects the sequence of numbers.
        width: Maximum number of numbers per record.
    """

    def __init__(self, seed: int, width: int) -> None:
        self._seed = _mixed(seed & _MASK)
        self._width = max(width, 1)

    def of(self, number: int, place: int) -> float:
        """Draw the number for one field of a record."""
        at = number * self._width + place
        return (_mixed((self._seed + (at + 1) * _STEP) & _MASK) >> 11) / 2**53


def _mixed(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
