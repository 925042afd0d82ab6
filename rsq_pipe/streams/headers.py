"""Headers: the system's own names, all under one prefix, and those of earlier releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rsq_pipe.errors import EncodeError

PREFIX = "rsq-"
"""The prefix of the system's own headers; every other header is the user's."""

RID = f"{PREFIX}rid"
"""The record id."""

ATTEMPTS = f"{PREFIX}attempts"
"""A record's failed attempts in its current stage; trusted only in the stage's own `again` stream."""

REPLAY_LINK = f"{PREFIX}replay-link"
"""The `traceparent` a replayed record had when it was dead-lettered; trusted like the attempts."""

REPLAY = f"{PREFIX}replay"
"""The name of the dead letter that a record was last replayed from; trusted like the attempts."""

INPUT = f"{PREFIX}input"
"""The side by which a record entered a join; trusted like the attempts."""

ORIGIN = f"{PREFIX}origin"
"""The stream of an entry from outside that could not be read; trusted like the attempts."""

WHY = f"{PREFIX}dlq-"
"""The prefix of a dead letter's headers that give the reason."""

PARENT = "traceparent"
STATE = "tracestate"

REASONS = ("reason", "error", "traceback", "stage", "attempts", "entry", "at", "surplus")
"""What a dead letter says about itself, each under `WHY`."""

SYSTEM = frozenset(
    (RID, ATTEMPTS, REPLAY_LINK, REPLAY, INPUT, ORIGIN, PARENT, STATE, *(WHY + name for name in REASONS))
)
"""How many headers a record may gain on its way, in addition to the `MAX_FIELDS` of its own."""

DATA = "data"

_OLD = {"rid": RID, "attempts": ATTEMPTS, "replay-link": REPLAY_LINK} | {
    f"dlq-{name}": WHY + name for name in REASONS
}


def is_reserved(name: str) -> bool:
    """Return whether users may not set a header of this name."""
    return name == DATA or name.startswith(PREFIX)


def check_data(headers: Mapping[str, str]) -> None:
    """
    Refuse the one header that would collide with the record.

    Raises:
        EncodeError: A header is named `data`: the entry's field of that name holds the record.
    """
    if DATA in headers:
        raise EncodeError(f"a header cannot be named {DATA!r}: that field holds the record", headers)


def current(headers: Mapping[str, str]) -> Mapping[str, str]:
    """
    Rename the headers of an entry that the pipeline wrote to the names of this release.

    Until 0.1 the system's headers had no prefix. What this release writes has at least one with the prefix;
    so if there is none, `rid`, `attempts`, `replay-link` and `dlq-*` are the system's.
    """
    if any(name.startswith(PREFIX) for name in headers):
        return headers
    return {_OLD.get(name, name): value for name, value in headers.items()}


def current_fields(fields: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Pair an entry's fields, as bytes and under the names of this release, like `current`."""
    pairs = list(zip(fields[::2], fields[1::2], strict=True))
    if any(name.startswith(PREFIX.encode()) for name, _ in pairs):
        return pairs
    old = {name.encode(): new.encode() for name, new in _OLD.items()}
    return [(old.get(name, name), value) for name, value in pairs]
