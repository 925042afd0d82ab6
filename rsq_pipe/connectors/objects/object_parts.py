"""ObjectParts: a series of parts in a bucket, each created once and holding each of its records once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

from rsq_pipe.connectors.endpoint import AwayError
from rsq_pipe.connectors.objects.bucket import MissingError, TakenError
from rsq_pipe.connectors.objects.formats import Writing
from rsq_pipe.connectors.objects.numbered_parts import NumberedParts
from rsq_pipe.connectors.objects.progress import MOST, digest, of_one
from rsq_pipe.connectors.objects.write_options import WriteOptions
from rsq_pipe.connectors.sink import Written
from rsq_pipe.model.batch import Batch


class _Ready(Struct, frozen=True):
    """
    Hold a batch that can be written.

    Args:
        batch: The whole batch.
        rids: The ids of the records in the part.
        data: The part; empty if all of the batch is in earlier parts, or none of it can be written.
        failures: Place in the batch -> why the record cannot be written.
    """

    batch: Batch
    rids: Sequence[str]
    data: bytes
    failures: Mapping[int, Exception]


class ObjectParts(NumberedParts):
    """
    Write each batch as one part.

    However the steps of several processes interleave, nothing acknowledged is lost or duplicated. A writer:

    1. stores its epoch on the server, and reads the position. From then on no earlier writer can store one.
    2. checks whether the next part exists. If it does, the part says which of those that were begun it is, so
       that its records are known, and are left out when they come again.
    3. for each batch, stores which part it is about to write, then asks the store to create it unless one
       of that name exists, then settles.

    Could a part be created by a writer that was paused before its request, or whose request was in flight?
    Then it was stored as begun before the present writer read the position, and has the name that the present
    one asks for next: one of the two is created, and the other request is refused. The present one checks
    which.

    Args:
        options: The sink's settings.
        writing: Encodes the parts.
        stage: The sink stage, for errors.
    """

    def __init__(self, options: WriteOptions, writing: Writing, *, stage: str) -> None:
        super().__init__(options, writing, stage=stage)
        self._ready: _Ready | None = None

    def open(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> str:
        """Find out which of the parts that were begun are in the bucket."""
        with self._series.translated_errors():
            self._go_on(self._series.progress(position, fresh=fresh, still=still))
            if self._progress.attempts:
                self._find_out()
        return self._progress.dump()

    def prepare(self, batch: Batch) -> str:
        """Build the part, and return its contents' description; nothing is written yet."""
        places = [place for place, rid in enumerate(batch.rids) if rid not in self._known]
        rest = batch if len(places) == len(batch) else batch.only(places)
        data, failed = self._writing.of(rest) if places else (b"", {})
        rids = [rest.rids[place] for place in range(len(rest)) if place not in failed] if places else []
        failures = {places[place]: why for place, why in failed.items()}
        self._ready = _Ready(batch, rids, data, failures)
        if not rids:
            return self._progress.dump()
        if len(self._progress.attempts) >= MOST:
            with self._series.translated_errors():
                self._decide(rest, rids)
            return self.prepare(batch)
        self._go_on(self._progress.begun(rids, int(time.time())))
        return self._progress.dump()

    def write(self, batch: Batch) -> Written:
        """Create the prepared part."""
        if self._ready is None or self._ready.batch is not batch:
            self.prepare(batch)
        ready = self._ready
        assert ready is not None
        if ready.rids:
            with self._series.translated_errors():
                self._series.make(self._next, ready.data, part=digest(ready.rids))
        done = [rid for place, rid in enumerate(batch.rids) if place not in ready.failures]
        self._after = self._progress.settled(done, wrote=bool(ready.rids))
        return Written(self._after.dump(), ready.failures)

    def close(self) -> None:
        """Do nothing: no resources are held."""
        self._ready = None

    @property
    def _next(self) -> str:
        """The name of the next part."""
        at = self._progress.at if self._progress.attempts else int(time.time())
        return self._series.naming.name(self._progress.next, at)

    def _find_out(self) -> None:
        """Check whether one of the parts that were begun exists."""
        name = self._next
        try:
            part = self._series.bucket.part(name)
        except MissingError:
            return
        try:
            self._go_on(self._progress.seen(part))
        except LookupError as exc:
            self._go_on(self._series.after_foreign(name, self._progress, exc))

    def _decide(self, batch: Batch, rids: Sequence[str]) -> None:
        """Resolve which part has the next number: create one with a single record, unless one exists."""
        one = batch.only([list(batch.rids).index(rids[0])])
        data, _ = self._writing.of(one)
        with suppress(TakenError):
            self._series.put(self._next, data, part=of_one(rids[0]))
        self._find_out()
        if self._progress.attempts:
            raise AwayError(f"{self._series.url(self._next)} can be neither created nor seen")
