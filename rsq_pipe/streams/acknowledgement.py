"""Acknowledgement: what a handler's return value says of its batch."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Entry, Settlement

log = logging.getLogger("rsq_pipe.streams")


def acknowledgement(
    messages: Sequence[StreamMessage], returned: Settlement | Sequence[str] | None, group: str
) -> Settlement | None:
    """
    Make the settlement a handler asks for.

    Args:
        messages: What it was given.
        returned: What it returned: a settlement, or the ids it finished.
        group: Its group, for the log.

    Returns:
        None where nothing is to be acknowledged.
    """
    if isinstance(returned, Settlement):
        return returned
    if returned is None:
        log.warning("handler of group %s returned None: nothing is acknowledged", group)
        return None
    named = Counter(returned)
    given = Counter(message.id for message in messages)
    if named.keys() - given.keys():
        log.warning("handler of group %s returned ids it was not given; they are ignored", group)
    # Entries of two streams may have one id. Which of them is meant shows when they come back, alone.
    known = [m for m in messages if named[m.id] >= given[m.id]]
    return Settlement.ack(Entry(m.stream, m.id, m.delivery_count) for m in known) if known else None
