"""Facts: the data that the doctor reads from a server; and findings, its judgements of these."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from rsq_pipe.errors import SettleError, StreamError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import checked
from rsq_pipe.streams.memory import info_fields

_SETTINGS = (
    *("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy"),
    *("min-replicas-to-write", "min-replicas-max-lag", "maxclients", "dir"),
)
_ROUNDS = 25
"""Number of times the clock is read: enough for a median that one outlier does not move."""

Level = Literal["ok", "note", "warning", "problem"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "problem")
"""From the best to the worst."""


class Facts(Struct, frozen=True):
    """
    Hold a server's data about itself.

    Args:
        address: Its address, without credentials.
        is_cluster_client: Whether it was asked as a cluster: `redis+cluster://`.
        user: The user we are logged in as; empty if unknown.
        info: INFO, name -> value; empty if not permitted.
        settings: CONFIG GET, name -> value; without those not permitted.
        skew: Seconds that its clock is ahead of ours; None if not permitted.
        round_trips: Seconds of each of several short commands, in ascending order.
        free: Bytes left on the disk that holds its data; None if that is not a disk of this machine.
    """

    address: str
    is_cluster_client: bool
    user: str
    info: Mapping[str, str]
    settings: Mapping[str, str]
    skew: float | None
    round_trips: Sequence[float]
    free: int | None = None

    def number(self, name: str, default: int = 0) -> int:
        """Read a number of INFO."""
        value = self.info.get(name, "")
        return int(value) if value.lstrip("-").isdigit() else default

    def setting(self, name: str, otherwise: str = "") -> str:
        """Read a setting from CONFIG GET or, if that is refused, from INFO."""
        return self.settings.get(name) or self.info.get(name.replace("-", "_"), otherwise)


class Finding(Struct, frozen=True):
    """
    Describe what was found, and what follows.

    Args:
        check: A short name of the check that stays the same from one release to the next.
        level: `ok`; `note`: worth knowing; `warning`: holds today; `problem`: the promise
            does not hold.
        seen: The facts.
        guarantee: The guarantee that holds, or does not hold, because of them.
        mend: A line of redis.conf, or a command; empty if nothing needs fixing.
    """

    check: str
    level: Level
    seen: str
    guarantee: str
    mend: str = ""


async def gather(client: StreamClient, key: str) -> Facts:
    """
    Read the facts of the server that holds a key.

    Raises:
        ServerUnavailableError: It cannot be reached.

    Redis: INFO, CONFIG GET, ACL WHOAMI, TIME; what is refused is left out.
    """
    channel = client.channel
    replies = await channel.exchange(
        [["INFO"], ["ACL", "WHOAMI"], *(["CONFIG", "GET", name] for name in _SETTINGS)], key=key
    )
    info, user, *settings = (None if refused(reply, channel.address) else reply for reply in replies)
    skew, round_trips = await _clock(client, key)
    configured = {pair[0].decode(): pair[1].decode() for pair in settings if pair}
    return Facts(
        address=channel.address,
        is_cluster_client=channel.endpoint.is_cluster,
        user=user.decode() if user else "",
        info=info_fields(info or b""),
        settings=configured,
        skew=skew,
        round_trips=round_trips,
        free=_free(channel.address, configured.get("dir", "")),
    )


def refused(reply: Any, address: str) -> str:
    """Return why the server refused a command, in its words; empty if it did not."""
    try:
        checked(reply, address)
    except (
        StreamError
    ) as exc:  # also temporary errors: a server that is full or loading is what the doctor is for
        return exc.reply if isinstance(exc, SettleError) else str(exc)
    return ""


def _free(address: str, folder: str) -> int | None:
    """Find the free disk space of a server's data; a server behind a socket is on this machine."""
    if not address.startswith("unix:") or not folder:
        return None
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # as in a container
        return None


async def _clock(client: StreamClient, key: str) -> tuple[float | None, list[float]]:
    """Compare the clocks by the fastest of several round trips: the error is at most half of it."""
    best, skew, round_trips = float("inf"), None, []
    for _ in range(_ROUNDS):
        began, sent = time.perf_counter(), time.time()
        (reply,) = await client.channel.exchange([["TIME"]], key=key)
        took = time.perf_counter() - began
        round_trips.append(took)
        if took < best and not refused(reply, client.channel.address):
            best, skew = took, int(reply[0]) + int(reply[1]) / 1e6 - (sent + took / 2)
    return skew, sorted(round_trips)
