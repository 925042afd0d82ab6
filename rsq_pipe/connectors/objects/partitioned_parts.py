"""PartitionedParts: parts in a bucket whose names hold values of their records' fields."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from rsq_pipe.connectors.objects.bucket import TakenError
from rsq_pipe.connectors.objects.formats import Writing
from rsq_pipe.connectors.objects.numbered_parts import NumberedParts
from rsq_pipe.connectors.objects.partition import divide
from rsq_pipe.connectors.objects.progress import Attempt, digest
from rsq_pipe.connectors.objects.write_options import WriteOptions
from rsq_pipe.connectors.sink import TargetUnavailableError, Written
from rsq_pipe.model.batch import Batch

EMPTY = "empty"
"""What the metadata says of a part without records, which keeps its name from being used."""

_AT_ONCE = 8  # requests


class _Part(Struct, frozen=True):
    """
    Hold a part that can be written.

    Args:
        rids: The ids of its records.
        data: Its bytes.
    """

    rids: list[str]
    data: bytes


class _Ready(Struct, frozen=True):
    """
    Hold a batch that can be written.

    Args:
        batch: The whole batch.
        parts: Name -> part.
        failures: Place in the batch -> why the record cannot be written.
    """

    batch: Batch
    parts: Mapping[str, _Part]
    failures: Mapping[int, Exception]


class PartitionedParts(NumberedParts):
    """
    Write each batch as one part for each partition that its records are of, all with the same number.

    As in ObjectParts, the parts that are about to be written are stored first, under the epoch of the writer.
    But two writers may begin parts of different names under one number, so that neither request refuses the
    other. So a writer that finds parts begun by another looks for each under its name, and creates an empty
    one there if it does not exist. From then on a request that arrives late is refused: it is decided which
    of the parts exist, and the next number is used.

    A request that failed is repeated by the same writer, for the same records and the same name.

    Args:
        options: The sink's settings.
        writing: Encodes the parts.
        stage: The sink stage, for errors.
    """

    def __init__(self, options: WriteOptions, writing: Writing, *, stage: str) -> None:
        super().__init__(options, writing, stage=stage)
        self._most = options.max_partitions
        self._ready: _Ready | None = None
        self._must_decide = True  # whether what is begun may be another writer's

    def open(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> str:
        """Decide which of the parts that another writer began are in the bucket."""
        with self._series.translated_errors():
            self._go_on(self._series.progress(position, fresh=fresh, still=still))
            if self._must_decide:
                self._decide()
        return self._progress.dump()

    def prepare(self, batch: Batch) -> str:
        """Build the parts, and return their description; nothing is written yet."""
        ready = self._divided(batch)
        if ready.parts:
            begun = {(attempt.name, attempt.part) for attempt in self._progress.attempts}
            if not begun <= {(name, digest(part.rids)) for name, part in ready.parts.items()}:
                with self._series.translated_errors():
                    self._decide()
                ready = self._divided(batch)
        if ready.parts:
            ids = {name: part.rids for name, part in ready.parts.items()}
            self._go_on(self._progress.begun_under(ids, int(time.time())))
        self._ready = ready
        return self._progress.dump()

    def write(self, batch: Batch) -> Written:
        """Create the prepared parts."""
        if self._ready is None or self._ready.batch is not batch:
            self.prepare(batch)
        ready = self._ready
        assert ready is not None
        with self._series.translated_errors():
            try:
                self._make_all(ready.parts)
            except TargetUnavailableError:  # another writer has used one of the names
                self._must_decide = True
                raise
        done = [rid for place, rid in enumerate(batch.rids) if place not in ready.failures]
        self._after = self._progress.settled(done, wrote=bool(ready.parts))
        return Written(self._after.dump(), ready.failures)

    def close(self) -> None:
        """Do nothing: no resources are held."""
        self._ready = None

    def _divided(self, batch: Batch) -> _Ready:
        """Build the parts of a batch, without records that are in earlier parts."""
        naming, progress = self._series.naming, self._progress
        at = progress.at if progress.attempts else int(time.time())
        places = (place for place, rid in enumerate(batch.rids) if rid not in self._known)
        divided, failures = divide(batch, places, naming.fields)
        if len(divided) > self._most:
            raise self._series.error(
                f"{len(batch):,} records have {len(divided):,} values of {', '.join(naming.fields)}, and "
                f"each would be a part; `max_partitions` allows {self._most:,}: partition by something with "
                "fewer values, or raise it"
            )
        parts: dict[str, _Part] = {}
        for values, own in divided.items():
            data, failed = self._writing.of(batch.only(own))
            failures |= {own[place]: why for place, why in failed.items()}
            rids = [batch.rids[place] for at, place in enumerate(own) if at not in failed]
            if rids:
                parts[naming.name(progress.next, at, values)] = _Part(rids, data)
        return _Ready(batch, parts, failures)

    def _make_all(self, parts: Mapping[str, _Part]) -> None:
        def make(name: str) -> None:
            self._series.make(name, parts[name].data, part=digest(parts[name].rids))

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for _ in threads.map(make, parts):
                pass

    def _decide(self) -> None:
        """Decide which of the parts begun under the number exist: the others never will."""
        if attempts := self._progress.attempts:
            try:
                exist = [attempt for attempt in attempts if self._exists(attempt)]
            except LookupError as exc:
                self._go_on(self._series.after_foreign(str(exc.args[0]), self._progress, exc))
            else:
                self._go_on(self._progress.decided(exist))
        self._must_decide = False

    def _exists(self, attempt: Attempt) -> bool:
        """Return whether a part exists; if not, prevent that it ever does."""
        try:
            self._series.put(attempt.name, self._writing.nothing(), part=EMPTY)
        except TakenError:
            there = self._series.bucket.part(attempt.name)
            if there not in (attempt.part, EMPTY):
                raise LookupError(attempt.name) from None
            return there == attempt.part
        return False
