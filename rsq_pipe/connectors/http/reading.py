"""HttpSource: reads a web service page by page, and continues where it was stopped."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import structlog

from rsq_pipe.connectors.http.get import Get, Page
from rsq_pipe.connectors.http.lists import is_named, listed
from rsq_pipe.connectors.http.mark import Mark, Value
from rsq_pipe.connectors.http.options import ReadSettings
from rsq_pipe.connectors.http.paging import following, inside, parameters
from rsq_pipe.connectors.http.settings import shown
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.errors import SourceError


class HttpSource:
    """
    Yield the records of a service's pages.

    Args:
        settings: The service, and how one page leads to the next.
        stage: The stage, for messages.
    """

    resumable = True

    def __init__(self, settings: ReadSettings, *, stage: str) -> None:
        self._settings = settings
        self._stage = stage
        self._warned_of_absent = False

    def shards(self) -> Sequence[str]:
        """Name the service: a new address starts over."""
        return [shown(self._settings.url)]

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:  # noqa: ARG002  there is one
        """
        Yield the pages after `position`.

        Raises:
            SourceError: The service refuses a page, or has changed one that was stored in part.
        """
        mark = Mark.load(position)
        with asyncio.Runner() as runner:
            get = Get(self._settings, self._stage)
            try:
                if mark.done:
                    if self._settings.cursor is None and self._settings.every is None:
                        return
                    mark = mark.next_round()
                while True:
                    yield from self._round(runner, get, mark, size)
                    if self._settings.every is None:
                        return
                    runner.run(asyncio.sleep(self._settings.every))
                    mark = mark.next_round()
            finally:
                runner.run(get.close())

    def _round(self, runner: asyncio.Runner, get: Get, mark: Mark, size: int) -> Iterator[Chunk]:
        """Read all pages once, moving the mark along."""
        while not mark.done:
            url = mark.url or self._settings.url
            page = runner.run(get.page(url, parameters(self._settings, mark)))
            records = self._records(url, page)
            if mark.at and mark.digest != page.digest:
                raise self._error(
                    url,
                    f"page {mark.page} is not what it was when {mark.at:,} of its records were stored; ask "
                    "for pages of fewer records, which are stored whole, and start over with --fresh",
                )
            for start in range(mark.at, max(len(records) - size, 0), size):
                arrivals = self._arrivals(mark, records, start, start + size)
                mark.at, mark.digest = start + size, page.digest
                yield Chunk.of(arrivals, mark.dump())
            arrivals = self._arrivals(mark, records, mark.at, len(records))
            try:
                mark.done = not following(self._settings, mark, page.answer, len(records), page.links)
            except (ValueError, TypeError) as exc:
                raise self._error(url, str(exc)) from exc
            yield Chunk.of(arrivals, mark.dump())

    def _records(self, url: str, page: Page) -> list[Any]:
        found = inside(page.answer, self._settings.records)
        if found is None:
            self._warn_of_absent(url, page.answer)
            return []
        if isinstance(found, list):
            return found
        where = (
            f"the value at `records: {self._settings.records}`" if self._settings.records else "its answer"
        )
        raise self._error(url, f"{where} is not a list; say by `records: PATH` where the records are")

    def _warn_of_absent(self, url: str, answer: Any) -> None:
        """Warn once of a path at which an answer has nothing; a service may leave out an empty list."""
        path = self._settings.records
        if self._warned_of_absent or answer is None or is_named(answer, path):
            return
        self._warned_of_absent = True
        structlog.get_logger("rsq_pipe").bind(stage=self._stage).warning(
            f"the answer has nothing at `records: {path}`, which counts as no records; {listed(answer)}",
            url=shown(url),
        )

    def _arrivals(self, mark: Mark, records: list[Any], start: int, end: int) -> list[Arrival]:
        """Make arrivals from a part of a page, leaving out records of the previous reading."""
        found: list[Arrival] = []
        for at in range(start, min(end, len(records))):
            record = records[at]
            offset = f"{mark.round}.{mark.page}:{at}"
            try:
                value = self._value(record, mark)
                offset = self._offset(record, value, offset)
            except ValueError as exc:
                where = f"{shown(self._settings.url)}, page {mark.page}, record {at}"
                found.append(Arrival(offset, None, msgspec.json.encode(record), f"{where}: {exc}"))
                continue
            if mark.note(value, _digest(record) if value is not None else ""):
                found.append(Arrival(offset, record))
        return found

    def _value(self, record: Any, mark: Mark) -> Value:
        """Return the value that shows whether a record is new; ValueError if there is none."""
        if not isinstance(record, dict):
            raise ValueError("it is not an object")  # noqa: TRY004  about what was read
        if self._settings.cursor is None:
            return None
        name = self._settings.cursor.field
        value = inside(record, name)
        known = mark.high if mark.high is not None else mark.since
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"its field {name!r}, the `cursor`, is neither text nor a number")  # noqa: TRY004
        if known is not None and isinstance(value, str) != isinstance(known, str):
            raise ValueError(f"its field {name!r}, the `cursor`, cannot be compared with {known!r}")
        return value

    def _offset(self, record: dict[str, Any], value: Value, otherwise: str) -> str:
        if not self._settings.key:
            return otherwise
        key = inside(record, self._settings.key)
        if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
            raise ValueError(f"its field {self._settings.key!r}, the `key`, is neither text nor a number")
        if value is not None:
            return f"{key}@{value}"
        return str(key) if self._settings.every is None else f"{key}@{otherwise.partition('.')[0]}"

    def _error(self, url: str, what: str) -> SourceError:
        return SourceError(f"stage {self._stage!r}: GET {shown(url)}: {what}", stage=self._stage)


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(record, order="sorted")).hexdigest()[:16]
