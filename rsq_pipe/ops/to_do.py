"""To do: what a group has before it in a stream, from a snapshot."""

from __future__ import annotations

from rsq_pipe.engine.keyspace import group_mark
from rsq_pipe.engine.state.count_fields import appended
from rsq_pipe.engine.state.record_counts import to_do
from rsq_pipe.streams.snapshot import Snapshot


def to_do_of(shot: Snapshot, key: str, group: str) -> tuple[int | None, int, int]:
    """
    Count a group's undelivered records and those in flight, with an upper limit of the former.

    A group that does not exist yet will start at the beginning.
    """
    entries = shot.lengths[key]
    written = shot.table.get(appended(key))
    most = entries if written is None or not entries else int(written)
    if group in shot.groups[key]:
        undelivered = shot.undelivered(key, group)
        return (*to_do(shot.table, key, shot.groups[key][group], undelivered=undelivered), most)
    is_lost = group_mark(group, key) in shot.table
    # It is unknown how many of the records written are still there.
    return (None if is_lost or most != entries else entries), 0, most
