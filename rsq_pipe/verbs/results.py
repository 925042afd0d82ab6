"""Results: the groups of a closed window made into records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec

from rsq_pipe.ids import result_id
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.model.partials import unpacked
from rsq_pipe.spec.aggregate import Aggregation
from rsq_pipe.verbs.folding import Folding
from rsq_pipe.verbs.moments import spelled
from rsq_pipe.verbs.passing import passed
from rsq_pipe.verbs.window_state import window_end

REASON = "having"


class Results:
    """
    Make results of groups, and let those through that are what they must be.

    Args:
        stage: The stage's name.
        of: What it computes.
    """

    pure: ClassVar[bool] = True
    changed: ClassVar[None] = None

    def __init__(self, stage: str, of: Aggregation) -> None:
        self._stage = stage
        self._of = of
        self._folding = Folding(of.compute, stage)

    def batch(self, start: int, groups: Iterable[tuple[bytes, bytes]]) -> Batch:
        """
        Make the results of some groups of a window.

        Args:
            start: The window's start, or how often all input had ended where there are none.
            groups: The values that make a group, as JSON, and its partials.
        """
        window = spelled(start) if self._of.windows else str(start)
        records: list[Any] = []
        rids: list[str] = []
        for group, partials in groups:
            values = msgspec.json.decode(group)
            records.append(self._record(start, values, partials))
            rids.append(result_id(self._stage, window, values))
        return Batch(records, rids, original=lambda place: msgspec.json.encode(records[place]))

    def _record(self, start: int, values: list[Any], partials: bytes) -> dict[str, Any]:
        record = {name: value for (name, _), value in zip(self._of.by, values, strict=True)}
        windows = self._of.windows
        if windows is not None:
            record[windows.start] = spelled(start)
            record[windows.end] = spelled(window_end(start, windows))
        return record | self._folding.results(unpacked(partials))

    async def open(self) -> None:
        """Nothing."""

    async def process(self, batch: Batch) -> Outcomes:
        """Let the results through for which `having` is true; null compared with something is not."""
        if self._of.having is None:
            return Outcomes({"": passed(batch)} if batch.records else {})
        kept = [place for place, record in enumerate(batch.records) if self._holds(record)]
        gone = sorted({*range(len(batch))} - {*kept})
        return Outcomes({"": passed(batch, kept)} if kept else {}, {REASON: gone} if gone else {})

    def _holds(self, record: dict[str, Any]) -> bool:
        assert self._of.having is not None
        try:
            return bool(self._of.having.evaluate(record))
        except Exception:  # noqa: BLE001 - an expression can raise whatever Python can
            return False

    async def close(self) -> None:
        """Nothing."""
