"""lookup on a server: one query per batch, for the keys that are not cached."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.errors import EvaluationError, TableError, TableUnavailableError, without_frames
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.stages.lookup import CachePolicy, Lookup
from rsq_pipe.verbs.lookup import RowJoin
from rsq_pipe.verbs.tables.keys import Key
from rsq_pipe.verbs.tables.remote_table import Answer, RemoteTable, UnavailableError, no_answer
from rsq_pipe.verbs.tables.table import Row


class ServerLookup:
    """
    Look records up on a server.

    Args:
        stage: The stage; its options are a lookup on a server.
        table: Sends the queries.
    """

    pure: ClassVar[bool] = False

    def __init__(self, stage: Stage, table: RemoteTable) -> None:
        lookup: Lookup = stage.options
        self._stage = stage.name
        self._timeout = stage.timeout
        self._of = lookup
        self._join = RowJoin(stage.name, lookup)
        self._table = table
        self._answers = Answers(lookup.cache)
        self.changed: frozenset[str] | None = lookup.targets

    async def open(self) -> None:
        """Do nothing: the first batch connects."""

    async def process(self, batch: Batch) -> Outcomes:
        """
        Handle one batch.

        Raises:
            TableError: The server refuses the query: the stage cannot continue.
        """
        keys = self._join.keys(batch)
        rows = await self._rows(dict.fromkeys(key for key, _ in keys if key is not None))
        return self._join.outcomes(batch, keys, [None if key is None else rows[key] for key, _ in keys])

    async def close(self) -> None:
        """Close the connections."""
        await self._table.close()

    async def _rows(self, wanted: Mapping[Key, None]) -> dict[Key, Row | Failure | None]:
        found: dict[Key, Row | Failure | None] = {**self._answers.known(wanted)}
        asked = [key for key in wanted if key not in found]
        if not asked:
            return found
        try:
            answers = await self._table.fetch(asked, self._timeout)
        except RefusedError as exc:
            what = self._message("cannot use its table", exc)
            raise TableError(what, stage=self._stage) from without_frames(exc)
        except (AwayError, TimeoutError) as exc:
            return {**found, **dict.fromkeys(asked, self._unavailable(exc))}
        rows = {key: self._row(answers, key) for key in asked}
        self._answers.keep({key: row for key, row in rows.items() if not isinstance(row, Failure)})
        return {**found, **rows}

    def _row(self, answers: Mapping[Key, Answer], key: Key) -> Row | Failure | None:
        """Pick the columns that records get from an answer."""
        answer = answers.get(key)
        if answer is None:
            return None
        if isinstance(answer, UnavailableError):
            return self._unavailable(answer)
        if isinstance(answer, ValueError):
            error = EvaluationError(self._message("lookup", answer), stage=self._stage)
            return Failure(error, retryable=False)
        if self._of.name:
            return answer
        return {target: answer.get(column) for column, target in self._of.fields.items()}

    def _unavailable(self, exc: AwayError | TimeoutError) -> Failure:
        if not isinstance(exc, UnavailableError):
            late = isinstance(exc, TimeoutError)
            exc = UnavailableError(no_answer(self._timeout) if late else str(exc))
        what = self._message("its table cannot be read now", exc)
        error = TableUnavailableError(
            what, stage=self._stage, certain=exc.certain, retry_after=exc.retry_after
        )
        return Failure(error)

    def _message(self, what: str, exc: Exception) -> str:
        return redact(f"stage {self._stage!r}: {what}: {self._of.table.text}: {exc}")


class Answers:
    """
    Cache rows, and keys that have none, for a while.

    Args:
        policy: How many, and for how long.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, policy: CachePolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._kept: dict[Key, tuple[float, Row | None]] = {}

    def known(self, keys: Iterable[Key]) -> dict[Key, Row | None]:
        """Return what is known of some keys."""
        now, kept = self._clock(), self._kept
        found = {key: kept[key] for key in keys if key in kept}
        return {key: row for key, (until, row) in found.items() if until > now}

    def keep(self, answers: Mapping[Key, Row | None]) -> None:
        """Cache answers; if there are too many, the oldest are removed."""
        if not self._policy.size or not self._policy.ttl:
            return
        until, kept = self._clock() + self._policy.ttl, self._kept
        for key, row in answers.items():
            kept.pop(key, None)  # so that it becomes the newest
            kept[key] = (until, row)
        while len(kept) > self._policy.size:
            del kept[next(iter(kept))]
