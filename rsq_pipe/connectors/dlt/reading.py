"""DltSource: yields the items of a dlt resource, and the state it leaves."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from rsq_pipe.connectors.closing import WaitingSource
from rsq_pipe.connectors.dlt.options import ReadOptions
from rsq_pipe.connectors.dlt.quiet import dlt, root_message
from rsq_pipe.connectors.function_name import function_at
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.outage import SourceBackoff
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.connectors.wording import wording
from rsq_pipe.error_text import one_line
from rsq_pipe.errors import SourceError

_KEPT = 65_536  # how many characters of an item that is not JSON are kept

_FIRST, _LONGEST = 0.1, 60.0  # seconds between two attempts when there is no answer


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    Define where to continue: the stored position.

    Args:
        state: dlt's state before the reading, as dlt encodes it.
        round: The number of the reading.
        count: How many items of it are stored.
        digest: The digest of those items, in order.
        done: Whether the reading has ended, and `state` is the state it left.
    """

    state: str = "{}"
    round: int = 1
    count: int = 0
    digest: str = ""
    done: bool = False


class DltSource(WaitingSource):
    """
    Read one resource repeatedly, each time with the state that the previous reading left.

    dlt's state is that of a whole reading: in the middle of one it is not usable, since rows need not come in
    the order of the cursor. So an interrupted reading restarts with the state it began with, and its stored
    items are skipped if they come unchanged, which their digest shows. Otherwise the source has changed
    since: all of the reading enters, including the stored items a second time.

    Args:
        options: The resource, and how to read it.
        stage: The stage, for messages.
        root: The project root, where the function is imported from.
    """

    resumable = True

    def __init__(self, options: ReadOptions, *, stage: str, root: Path) -> None:
        super().__init__()
        self._options = options
        self._stage = stage
        self._root = root

    def shards(self) -> Sequence[str]:
        """Name the resource; if it changes, reading starts over."""
        return [f"{self._options.call}.{self._options.resource}".rstrip(".")]

    def made(self) -> Any:
        """
        Call the function.

        Raises:
            SourceError: It does not exist, raises, or returns anything other than one resource.
        """
        library = dlt()
        try:
            found = function_at(self._options.call, self._root, self._stage)
            is_made = isinstance(found, library.sources.DltResource | library.sources.DltSource)
            if callable(found) and (not is_made or self._options.with_):
                found = found(**self._options.with_)
        except SourceError:
            raise
        except Exception as exc:
            raise self._error(root_message(exc)) from exc
        if isinstance(found, library.sources.DltResource):
            return found
        if not isinstance(found, library.sources.DltSource):
            raise self._error(f"it made {type(found).__name__}, and no source or resource of dlt")
        names = [*found.resources]
        chosen = self._options.resource or (names[0] if len(names) == 1 else "")
        if chosen not in names:
            raise self._error(f"it has the resources {', '.join(names)}; name one by `resource`")
        return found.with_resources(chosen)

    def _read(self, position: str, size: int, closing: threading.Event) -> Iterator[Chunk]:
        """Yield the items that are not stored yet; SourceError if the function or the resource raised."""
        place = msgspec.json.decode(position, type=Place) if position else Place()
        if place.done and place.state == "{}" and self._options.every is None:
            return  # it has no state: it would provide the same again
        backoff = SourceBackoff(
            _FIRST,
            _LONGEST,
            where=f"dlt {self._options.call}",
            log=structlog.get_logger("rsq_pipe").bind(stage=self._stage, call=self._options.call),
            away="what the resource reads does not answer; trying again",
            back="what the resource reads answers again",
        )
        while not closing.is_set():
            if place.done:
                place = Place(place.state, place.round + 1)
            try:
                place = yield from self._round(place, size)
            except _AwayError as exc:
                place = exc.place
                closing.wait(backoff.fails(exc))
                continue
            backoff.works()
            if self._options.every is None or closing.wait(self._options.every):
                return

    def _round(self, place: Place, size: int) -> Generator[Chunk, None, Place]:
        """Read once, to the end; return the position after it."""
        reading = _Reading(self.made(), place.state)
        try:
            rows = reading.rows()
            if not _comes_again(rows, place):
                structlog.get_logger("rsq_pipe").warning(
                    "the source does not return what it did before it was cut off; all of it enters again",
                    stage=self._stage,
                    records=place.count,
                )
                place = Place(place.state, place.round + 1)
                reading.close()
                reading = _Reading(self.made(), place.state)
                rows = reading.rows()
            arrivals: list[Arrival] = []
            digest = place.digest
            for count, raw in enumerate(rows, place.count + 1):
                arrivals.append(_arrival(f"{place.round}.{count}", raw))
                digest = _digest(digest, raw)
                if len(arrivals) >= size:
                    place = Place(place.state, place.round, count, digest)
                    yield Chunk.of(arrivals, _dump(place))
                    arrivals = []
            done = Place(reading.state(), place.round, done=True)
            yield Chunk.of(arrivals, _dump(done))
            return done
        except SourceError:
            raise
        except Exception as exc:
            if self._options.every is not None and _may_pass(exc):
                raise _AwayError(root_message(exc), place) from exc
            raise self._error(root_message(exc)) from exc
        finally:
            reading.close()

    def _error(self, what: str) -> SourceError:
        return SourceError(f"stage {self._stage!r}: dlt {self._options.call}: {what}", stage=self._stage)


class _AwayError(Exception):
    """The resource's server does not answer; `place` is how far the reading has got."""

    def __init__(self, why: str, place: Place) -> None:
        super().__init__(why)
        self.place = place


def _may_pass(exc: BaseException) -> bool:
    """Return whether an error is transient: the network's, or one that the server says may pass."""
    from dlt.common.exceptions import TransientException  # noqa: PLC0415  an extra

    cause: BaseException | None = exc
    while cause is not None:
        answer = getattr(cause, "response", None)  # that of requests and httpx
        status = getattr(answer, "status_code", None)
        if isinstance(status, int):
            return status >= 500 or status in {408, 429}
        names = {one.__name__ for one in type(cause).__mro__}
        if isinstance(cause, TransientException | TimeoutError) or names & _NETWORK:
            return True
        cause = cause.__cause__
    return False


_NETWORK = {
    "ConnectionError",
    "gaierror",
    "Timeout",
    "ChunkedEncodingError",
    "NetworkError",
    "TimeoutException",
    "RemoteProtocolError",
}
"""Errors of requests and httpx, by name: the resource may use either."""


class _Unwritable(msgspec.Struct, frozen=True):
    """
    Hold an item that JSON cannot hold.

    Args:
        kind: The error's type, which is the same when the item comes again.
        why: Its message.
        shown: The item as Python shows it: a set in any order, an object with its address.
    """

    kind: str
    why: str
    shown: str


Row = bytes | _Unwritable


class _Reading:
    """One reading of a resource, with its own state."""

    def __init__(self, made: Any, state: str) -> None:
        from dlt.common import json  # noqa: PLC0415  an extra
        from dlt.common.configuration.container import Container  # noqa: PLC0415
        from dlt.common.pipeline import StateInjectableContext  # noqa: PLC0415

        self._json = json
        self._state = json.typed_loads(state)
        # Instead of a dlt pipeline, which would keep its state in a folder.
        with Container().injectable_context(StateInjectableContext(state=self._state)):
            self._items = iter(made)

    def rows(self) -> Iterator[Row]:
        """Yield each item as JSON, whatever it is; one that JSON cannot hold, as why."""
        for item in self._items:
            for row in _rows(item):
                try:
                    raw: Row = self._json.dumpb(row)
                except (TypeError, ValueError, RecursionError) as exc:
                    raw = _Unwritable(type(exc).__name__, one_line(exc), repr(row)[:_KEPT])
                yield raw

    def close(self) -> None:
        """End the resource's own generators."""
        if (close := getattr(self._items, "close", None)) is not None:
            close()

    def state(self) -> str:
        """Encode the state that the reading leaves."""
        return str(self._json.typed_dumps(self._state, sort_keys=True))


def _rows(item: Any) -> Iterable[Any]:
    """Return the rows of an item: those of an Arrow or pandas table, or the item itself."""
    if hasattr(item, "to_pylist"):
        rows: Iterable[Any] = item.to_pylist()
        return rows
    if hasattr(item, "to_dict") and hasattr(item, "columns"):
        records: Iterable[Any] = item.to_dict("records")
        return records
    return (item,)


def _comes_again(rows: Iterator[Row], place: Place) -> bool:
    """Skip the stored items; return whether they were the same."""
    digest = ""
    for _ in range(place.count):
        raw = next(rows, None)
        if raw is None:
            return False
        digest = _digest(digest, raw)
    return digest == place.digest


def _digest(before: str, raw: Row) -> str:
    text = raw.kind.encode() if isinstance(raw, _Unwritable) else raw
    return hashlib.blake2b(before.encode() + text, digest_size=12).hexdigest()


def _dump(place: Place) -> str:
    return msgspec.json.encode(place).decode()


def _arrival(offset: str, raw: Row) -> Arrival:
    if isinstance(raw, _Unwritable):
        return Arrival(
            offset,
            None,
            raw.shown.encode(errors="backslashreplace"),
            f"it cannot be written as JSON: {raw.why}",
        )
    try:
        return Arrival(offset, parse(raw), raw)
    except UNREADABLE as exc:
        return Arrival(offset, None, raw, wording(exc))
