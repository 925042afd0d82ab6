"""SmallBuckets: emits the results of several small windows in one settlement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rsq_pipe.engine.planner import MAX_BYTES
from rsq_pipe.engine.state.stored_state import StoredState
from rsq_pipe.engine.windows.result_sender import ResultSender
from rsq_pipe.model.state import SCALARS, Fields, Page, StateChange
from rsq_pipe.verbs.windows.results import Results
from rsq_pipe.verbs.windows.window_state import CLOSED

MOST = 64
"""Maximum number of windows in one settlement."""


class SmallBuckets:
    """
    Emit the results of windows that hold few groups each: one settlement for each would take longer.

    Args:
        state: The stage's state.
        sender: Sends the results on.
        results: Builds the records.
        size: About how many results are settled at once.
    """

    def __init__(self, state: StoredState, sender: ResultSender, results: Results, size: int) -> None:
        self._state, self._sender, self._results, self._size = state, sender, results, size
        self._groups = 0

    def note(self, groups: int) -> None:
        """Record how many groups the last window had: the next ones are expected to have as many."""
        self._groups = groups

    async def send(self, buckets: Sequence[str]) -> int | None:
        """
        Emit all results in the first of some buckets, and remove these.

        Returns:
            In how many buckets; 0 if nothing was done, as it is no gain; None if the state had changed.

        Delivery: all of it in one step, or nothing.
        """
        buckets = buckets[: min(MOST, self._size // max(self._groups, 1))]
        if len(buckets) < 2:
            return 0
        (stored,), *pages = await self._state.ask(
            Fields([CLOSED]), *(Page(bucket, 0, self._size) for bucket in buckets)
        )
        whole = self._whole(buckets, pages)
        if len(whole) < 2:
            self._groups = self._size
            return 0
        change = StateChange()
        change.equals(SCALARS, {CLOSED: stored})
        for bucket, groups in whole.items():
            change.lengths(bucket, {name: len(value) for name, value in groups.items()})
            change.unlink(bucket)
        found = [(int(bucket), sorted(groups.items())) for bucket, groups in whole.items()]
        self._groups = max(map(len, whole.values()))
        return len(whole) if await self._sender.send(self._results.batch_of(found), change) else None

    def _whole(
        self, buckets: Sequence[str], pages: Sequence[tuple[int, Mapping[bytes, bytes]]]
    ) -> dict[str, Mapping[bytes, bytes]]:
        """Take the first buckets whose page holds all of them, as many as one settlement may write."""
        taken: dict[str, Mapping[bytes, bytes]] = {}
        groups = size = 0
        for bucket, (cursor, page) in zip(buckets, pages, strict=True):
            groups += len(page)
            size += sum(map(len, page.values()))
            if cursor != 0 or groups > self._size or size > MAX_BYTES // 2:
                break
            taken[bucket] = page
        return taken
