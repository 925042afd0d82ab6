"""Window state: the scalars and buckets for windows, in addition to their groups, and their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.stages.aggregate import Windows
from rsq_pipe.verbs.windows.arguments import Failed
from rsq_pipe.verbs.windows.local_days import local_days

# A bucket holds the groups of one window and is named after its start. Without windows it is named after
# how often all input has ended so far: 0, 1, 2, and so on, as if each were a window of one tick.
SESSIONS = "sessions"
"""
The bucket of all sessions: group -> its sessions. The timers then also hold each group with the time when
the first of its sessions may end.
"""

CLOSED = "closed"
"""The scalar up to which windows are closed: those that end at or before it take no more records."""

ROUND = "round"
"""The scalar that counts how often results of open windows have been sent on."""

FINISHED = "finished"
"""The scalar that counts how many of these rounds are finished."""

EMITTED = "emitted"
"""The scalar with the start time of the last round, by the server's clock."""

NEVER = -(1 << 60)
"""Before all windows."""


def closed_until(stored: bytes | None, windows: Windows | None) -> int:
    """Return up to when windows are closed."""
    if stored is not None:
        return int(stored)
    return NEVER if windows else 0


def is_group(timer: bytes) -> bool:
    """Return whether a timer belongs to a group's sessions rather than to a bucket."""
    return timer.startswith(b"[")


def changed(turn: int) -> str:
    """Name the bucket of groups that have changed since a round: window and group, each with "1"."""
    return f"changed:{turn}"


def window_end(start: int, windows: Windows | None) -> int:
    """Return when a window ends."""
    if windows is None:
        return start + 1
    if windows.zone:
        return local_days(windows.zone, windows.every, windows.over).end(start)
    return start + windows.over


def due_times(starts: Iterable[int], windows: Windows | None) -> dict[str, int | float]:
    """Return when buckets are due: at the ends of their windows."""
    return {str(start): window_end(start, windows) for start in starts}


def seen(name: str) -> str:
    """Name the scalar that holds the latest time of an input's records."""
    return f"seen:{name}"


def came(name: str) -> str:
    """Name the scalar that holds when an input's last record arrived, by the server's clock."""
    return f"at:{name}"


def seen_times(
    batch: Batch, inputs: Mapping[str, str], times: Sequence[int], failed: Failed, now: int
) -> dict[str, int]:
    """
    Return the latest time of each input's records, and when they came; retries do not count for an input.

    Args:
        batch: The records.
        inputs: Stream -> its name.
        times: The records' times.
        failed: Places of records without one.
        now: The server's clock.
    """
    names = [inputs.get(one.stream) for one in batch.deliveries]
    latest: dict[str, int] = {}
    only = names[0] if len({*names}) == 1 else None
    if only is not None and not failed:
        latest[only] = max(times)
    elif names:
        for place, (origin, at) in enumerate(zip(batch.origins, times, strict=True)):
            name = names[origin] if place not in failed else None
            if name is not None and at > latest.get(name, NEVER):
                latest[name] = at
    return {
        field: value for name, at in latest.items() for field, value in ((seen(name), at), (came(name), now))
    }
