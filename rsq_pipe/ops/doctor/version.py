"""Version: whether rsq-pipe works with the server, and which of its defects affect a pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rsq_pipe.ops.doctor.facts import Facts, Finding, Level

Version = tuple[int, ...]
OLDEST: dict[str, Version] = {"redis": (7, 0, 0), "valkey": (7, 2, 0)}


class Defect(Struct, frozen=True):
    """
    Describe a defect of some versions.

    Args:
        server: `redis` or `valkey`.
        ranges: First version with it, first later version of the same line without it.
        level: How badly it affects a pipeline.
        what: The defect.
        effect: Its consequence for a pipeline.
        source: Its documentation.
    """

    server: str
    ranges: tuple[tuple[Version, Version], ...]
    level: Level
    what: str
    effect: str
    source: str


_LAG = (
    "the lag of a consumer group is reported wrong once entries are deleted or trimmed that it has not read"
)
_LAG_EFFECT = (
    "what waits may be shown as more than it is, until all of it is read, where others trim a stream from "
    "outside, or a slot of a cluster moves; rsq-pipe itself trims only what every group has acknowledged"
)
_LUA = "a user who may run scripts can escape from Lua (CVE-2025-49844, critical)"
_LUA_EFFECT = (
    "rsq-pipe needs EVALSHA, and anybody with its credentials can take over the server. Your distribution "
    "may have fixed it without a new version number"
)
DEFECTS = (
    Defect(
        *("redis", (((7, 0, 0), (7, 0, 4)),), "problem"),
        "XAUTOCLAIM can corrupt the server's memory where entries were deleted (CVE-2022-31144)",
        "taking over the entries of a dead worker may crash the server",
        "https://github.com/redis/redis/pull/11002",
    ),
    Defect(
        *("redis", (((7, 0, 0), (7, 2, 7)), ((7, 4, 0), (7, 4, 2))), "note"),
        *(_LAG, _LAG_EFFECT),
        "https://github.com/redis/redis/pull/13338 and 13473",
    ),
    Defect(
        *("valkey", (((7, 2, 0), (7, 2, 9)), ((8, 0, 0), (8, 0, 3)), ((8, 1, 0), (8, 1, 1))), "note"),
        *(_LAG, _LAG_EFFECT),
        "https://github.com/valkey-io/valkey/pull/1952",
    ),
    Defect(
        "redis",
        (((7, 0, 0), (7, 2, 11)), ((7, 4, 0), (7, 4, 6)), ((8, 0, 0), (8, 0, 4)), ((8, 2, 0), (8, 2, 2))),
        "warning",
        *(_LUA, _LUA_EFFECT),
        "https://github.com/docker-library/official-images/pull/20011",
    ),
    Defect(
        *("valkey", (((7, 2, 0), (7, 2, 11)), ((8, 0, 0), (8, 0, 6)), ((8, 1, 0), (8, 1, 4))), "warning"),
        *(_LUA, _LUA_EFFECT),
        "https://github.com/valkey-io/valkey/issues/3473",
    ),
)


def judge_version(facts: Facts) -> Iterator[Finding]:
    """Judge the server's kind and version."""
    if not facts.info:
        user = f"user {facts.user!r}" if facts.user else "this user"
        yield Finding(
            *("version", "warning", f"{user} may not run INFO, so the version is not known"),
            "whether this server is one that rsq-pipe works with cannot be told",
            f"ACL SETUSER {facts.user or 'USER'} +info",
        )
        return
    server, text = kind_of(facts)
    version = _parsed(text)
    if server not in OLDEST:
        yield Finding(
            *("version", "warning", f"{server} {text}"),
            "rsq-pipe is tested on Redis and Valkey only; what it promises is not known to hold here",
            "use Redis 7 or newer, or Valkey 7.2 or newer",
        )
        return
    oldest = ".".join(map(str, OLDEST[server][:2]))
    if version < OLDEST[server]:
        yield Finding(
            *("version", "problem", f"{server} {text} is older than {oldest}"),
            "settle.lua needs script flags, and reclaim needs the XAUTOCLAIM, of a newer server: nothing "
            "runs",
            "install Redis 7 or newer, or Valkey 7.2 or newer",
        )
        return
    yield Finding("version", "ok", f"{server} {text}", f"every command rsq-pipe uses is there since {oldest}")
    yield from (_finding(defect, text) for defect in DEFECTS if _has(defect, server, version))


def kind_of(facts: Facts) -> tuple[str, str]:
    """Return the kind of server and its version; Valkey and others also claim to be Redis."""
    for name in ("valkey", "dragonfly", "keydb", "kvrocks"):
        if f"{name}_version" in facts.info:
            return name, facts.info[f"{name}_version"]
    return "redis", facts.info.get("redis_version", "0")


def _finding(defect: Defect, text: str) -> Finding:
    mended = ", ".join(".".join(map(str, end)) for _, end in defect.ranges)
    seen = f"{defect.server} {text}: {defect.what}; see {defect.source}"
    return Finding("defect", defect.level, seen, defect.effect, f"update to {mended} or newer")


def _has(defect: Defect, server: str, version: Version) -> bool:
    return server == defect.server and any(first <= version < end for first, end in defect.ranges)


def _parsed(text: str) -> Version:
    return tuple(int(part) for part in text.partition("-")[0].lstrip("v").split(".") if part.isdigit())
