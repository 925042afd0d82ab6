"""Sign-off: what a run still tells the server at its end, and what of it the server may refuse."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from typing import Any

from rsq_pipe.engine.housekeeping.briefly import answered
from rsq_pipe.engine.ownership.presence import Presence

Act = Callable[[], Coroutine[Any, Any, object]]


async def sign_off(presence: Presence, acts: Sequence[Act], ends: Coroutine[Any, Any, object]) -> bool:
    """
    Tidy up, store how the run ends, and remove its sign of life.

    A server may refuse some of it, since the user lost rights or its memory is full: the rest is done all the
    same. If it refuses to store the end, the sign of life stays: it shows that the run has not ended well.

    Args:
        presence: The sign of life.
        acts: What else is to be done; each may be left undone.
        ends: Stores how the run ends.

    Returns:
        Whether the server answers: if not, each further call would delay the end.
    """

    async def store() -> None:
        await ends
        await presence.end()

    with closing(ends):  # it may never be awaited
        for act in (*acts, store):
            if not await answered(act()):
                return False
        return True
