"""Purge: delete dead letters, and count them exactly."""

from __future__ import annotations

from rsq_pipe.ops.dead_letters.dead_letters import DeadLetters
from rsq_pipe.ops.dead_letters.failure_groups import FailureGroups
from rsq_pipe.ops.dead_letters.progress import Preview, Progress
from rsq_pipe.streams.removal import Removal


async def preview_purge(letters: DeadLetters) -> Preview:
    """Return what a purge would delete, without doing it."""
    groups = FailureGroups()
    async for page in letters.pages():
        for letter in page.letters:
            groups.add(letter)
    return Preview(tuple(groups), missing=await letters.missing())


async def purge(letters: DeadLetters, progress: Progress) -> None:
    """
    Delete dead letters for good. Those that another stage reads as its input and has in flight stay.

    Raises:
        ServerUnavailableError: The last step may have been applied, and is not counted.

    Cancellation: after the current step, which is then not counted; set `progress.stopping` instead.
    Redis: purge.lua.
    """
    removals: dict[str, Removal] = {}
    async for page in letters.pages():
        if progress.stopping.is_set():
            return
        queue = page.queue
        removal = removals.setdefault(queue.key, Removal(letters.client, queue.key, queue.table))
        ids = [letter.id for letter in page.letters]
        progress.add(queue.stage, await removal.delete(ids, counter=f"{queue.stage}:purged"))
