"""Replay: send dead letters back to the stage that failed them, each once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator

from rsq_pipe.engine.changes.past import refuse_newer_form
from rsq_pipe.errors import GroupLostError, ReplayError
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.dead_letter_queue import DeadLetterQueue
from rsq_pipe.ops.dead_letters.dead_letters import DeadLetters, Page
from rsq_pipe.ops.dead_letters.edits import Edits
from rsq_pipe.ops.dead_letters.failure_groups import FailureGroups
from rsq_pipe.ops.dead_letters.progress import Left, Preview, Progress
from rsq_pipe.streams.removal import MAX_ENTRIES, Move, Removal

MAX_BYTES = 1024 * 1024
"""Maximum bytes of one step, beyond its first record: it blocks the server."""

_STEPS_A_SECOND = 10  # of a replay with a rate


async def preview_replay(letters: DeadLetters, edits: Edits) -> Preview:
    """
    Return what a replay would do, without doing it.

    Raises:
        ReplayError: There are dead letters, and none of them can be replayed.
    """
    groups, counts, reasons = FailureGroups(), Counter[str](), dict[str, str]()
    async for page in letters.pages():
        for letter in page.letters:
            try:
                _revived(page.queue, letter, letters, edits)
            except ReplayError as exc:
                counts[letter.stage] += 1
                reasons.setdefault(letter.stage, str(exc))
            else:
                groups.add(letter)
    left = [Left(stage, count, reasons[stage]) for stage, count in counts.items()]
    if left and not groups.total:
        raise ReplayError("; ".join(one.why for one in left))
    return Preview(tuple(groups), left, await letters.missing())


async def replay(
    letters: DeadLetters, edits: Edits, progress: Progress, *, rate: float | None = None
) -> None:
    """
    Send dead letters back: same record id and bytes (unless edited), no attempts, no reasons.

    Those that `preview_replay` leaves stay. An interrupted replay continues when it is called again.

    Args:
        letters: The letters to replay.
        edits: The changes to make.
        progress: Counts the letters, and can stop the replay.
        rate: Maximum dead letters per second; None for no limit.

    Raises:
        NewerFormError: A newer release ran the pipeline, and stores things in another form.
        ReplayError: A stage's stream has lost its reader since.
        ServerUnavailableError: The last step may have been applied, and is not counted.

    Delivery: a dead letter is in its queue or back in the pipeline, never both, never neither.
    Cancellation: after the current step, which is then not counted; set `progress.stopping` instead.
    Redis: HGET, then replay.lua.
    """
    for pipeline in {queue.pipeline for queue in letters.queues}:
        await refuse_newer_form(letters.client, pipeline)
    size = MAX_ENTRIES if rate is None else max(1, min(MAX_ENTRIES, int(rate / _STEPS_A_SECOND)))
    limiter = _RateLimiter(rate, progress.stopping)
    removals: dict[str, Removal] = {}
    async for page in letters.pages():
        queue = page.queue
        removal = removals.setdefault(queue.key, Removal(letters.client, queue.key, queue.table))
        for step in _steps(_moves(page, letters, edits), size):
            if progress.stopping.is_set():
                return
            try:
                removed = await removal.move(
                    step, queue.target, counter=f"{queue.stage}:replayed", groups=queue.groups
                )
            except GroupLostError as exc:
                raise ReplayError(
                    f"stage {queue.stage!r}: stream {queue.target!r} is no longer read by "
                    f"{', '.join(queue.groups)}; what is left was not moved"
                ) from exc
            progress.add(queue.stage, removed)
            await limiter.keep(removed.removed)


def _revived(
    queue: DeadLetterQueue, letter: DeadLetter, letters: DeadLetters, edits: Edits
) -> list[str | bytes]:
    if queue.obstacle:
        raise ReplayError(f"stage {queue.stage!r}: {queue.obstacle}", dead_letter=letter.name)
    data = edits.applied(letter, letters.payloads, must_be_record=queue.is_source)
    if queue.closed and (
        lost := queue.closed.obstacle(letters.payloads.decode(letter.raw if data is None else data))
    ):
        raise ReplayError(f"{letter.name}: {lost}", dead_letter=letter.name)
    fields = letter.revived(data)
    if not fields:
        raise ReplayError(f"{letter.name}: it is empty; use --edit", dead_letter=letter.name)
    return fields


def _moves(page: Page, letters: DeadLetters, edits: Edits) -> Iterator[Move]:
    for letter in page.letters:
        with contextlib.suppress(ReplayError):  # the plan reported it
            yield Move(letter.id, _revived(page.queue, letter, letters, edits))


def _steps(moves: Iterator[Move], size: int) -> Iterator[list[Move]]:
    """Divide moves into portions that one call of the script may take."""
    step: list[Move] = []
    weight = 0
    for move in moves:
        own = sum(map(len, move.fields))
        if step and (len(step) == size or weight + own > MAX_BYTES):
            yield step
            step, weight = [], 0
        step.append(move)
        weight += own
    if step:
        yield step


class _RateLimiter:
    """Wait as long as a rate requires, or until stopped."""

    def __init__(self, rate: float | None, stopping: asyncio.Event) -> None:
        self._rate = rate
        self._stopping = stopping
        self._due = asyncio.get_running_loop().time()

    async def keep(self, number: int) -> None:
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        self._due = max(self._due, now) + number / self._rate
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._due - now)
