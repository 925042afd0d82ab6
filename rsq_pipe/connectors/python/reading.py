"""Reading: the items that a user's function yields, in chunks with positions."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from rsq_pipe.connectors.closing import WaitingSource
from rsq_pipe.connectors.producer import Ended, Producer
from rsq_pipe.connectors.python.calling import arguments
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.error_text import full_text
from rsq_pipe.errors import SourceError
from rsq_pipe.model.subclasses import plain_value


class PythonSource(WaitingSource):
    """
    Yield the items of a user's function: records, or positions each with its record.

    Args:
        find: Imports the function.
        name: The function's name, as the user wrote it.
        stage: The stage, for messages.
        values: Arguments for it.
    """

    resumable = True

    def __init__(self, find: Callable[[], Any], name: str, stage: str, values: Mapping[str, Any]) -> None:
        super().__init__()
        self._find = find
        self._name = name
        self._stage = stage
        self._values = values
        self._producer: Producer | None = None

    def shards(self) -> Sequence[str]:
        """Name the function: another one starts over."""
        return [self._name]

    def _read(self, position: str, size: int, closing: threading.Event) -> Iterator[Chunk]:
        """
        Yield the items after `position`.

        These are the items that the function yields when called with the position, or otherwise after as many
        records as are stored.

        Raises:
            SourceError: The function cannot be called, or raised, or yielded a position twice.
        """
        function, place = self._find(), _Place(position)
        asks = "position" in inspect.signature(function).parameters
        given = {**arguments(function, {"position": place.given}), **self._values}
        passed_over = 0 if asks else place.number
        producer = self._producer = Producer(lambda: function(**given))
        try:
            end: Ended | None = None
            while end is None and not closing.is_set():
                found = producer.take(size)
                end = found.pop() if isinstance(found[-1], Ended) else None
                items = [item for item in found if item is not None]
                skipped = min(passed_over, len(items))
                passed_over -= skipped
                arrivals, wrong = place.arrivals(items[skipped:])
                if arrivals:
                    yield Chunk.of(arrivals, place.dump())
                if wrong:
                    raise SourceError(f"stage {self._stage!r}: {self._name} {wrong}", stage=self._stage)
            if end is not None and (cause := end.__cause__) is not None:
                what = f"{self._name} raised {full_text(cause)}"
                raise SourceError(f"stage {self._stage!r}: {what}", stage=self._stage) from cause
        finally:
            producer.close()

    def close(self) -> None:
        """End the function."""
        super().close()
        if self._producer is not None:
            self._producer.close()


class _Place:
    """The number of records, and the position of the last one, if the function yields positions."""

    def __init__(self, stored: str) -> None:
        self.number: int = 0
        self._last: Any = None
        if stored:
            self.number, self._last = msgspec.json.decode(stored)
        self._began = bool(stored)

    @property
    def given(self) -> Any:
        """The function's argument: None at first, then the last position, or the number of records."""
        if not self._began:
            return None
        return self.number if self._last is None else self._last

    def dump(self) -> str:
        """Return it in the stored form."""
        return msgspec.json.encode([self.number, self._last]).decode()

    def arrivals(self, items: Sequence[Any]) -> tuple[list[Arrival], str]:
        """Make arrivals from the items; also return what is wrong with the next item."""
        found: list[Arrival] = []
        for item in items:
            position, record = item if type(item) is tuple and len(item) == 2 else (None, item)
            if position is not None:
                try:
                    position = msgspec.json.decode(msgspec.json.encode(position))
                except (TypeError, ValueError, msgspec.MsgspecError) as exc:
                    return found, f"yielded a position that cannot be stored: {exc}; yield text or a number"
                if position == self._last:
                    what = f"yielded the position {position!r} twice"
                    return found, f"{what}; each record needs its own, because reading resumes after it"
            offset = str(self.number) if position is None else _text(position)
            self.number, self._last = self.number + 1, position
            found.append(_arrival(offset, record))
        return found, ""


def _text(position: Any) -> str:
    return position if isinstance(position, str) else msgspec.json.encode(position).decode()


def _arrival(offset: str, record: Any) -> Arrival:
    if type(record) is dict:
        return Arrival(offset, record)
    try:
        made = msgspec.to_builtins(record, enc_hook=plain_value)
    except (TypeError, ValueError, msgspec.MsgspecError):
        made = None
    if isinstance(made, dict):  # a dataclass or Struct
        return Arrival(offset, made)
    return Arrival(
        offset, None, repr(record)[:65536].encode(), f"a record is a dict, not {type(record).__name__}"
    )
