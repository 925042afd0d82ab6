"""Rights: every command a pipeline sends, and what fails without it; used by `acl` and `doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

Role = Literal["run", "operate"]
"""The user that needs it: the one that runs the pipeline, or only an operator (who may also do `run`)."""


class Need(Struct, frozen=True):
    """
    Describe a group of commands and what fails without them.

    Args:
        effect: The consequence of a missing right.
        commands: Each with arguments that would change nothing if it were run, which it is not; at least as
            many as it requires, because the server checks that before the rights. KEY is replaced by a key of
            the pipeline.
        role: The user that needs them.
    """

    effect: str
    commands: tuple[str, ...]
    role: Role = "run"

    @property
    def names(self) -> list[str]:
        """The commands in the syntax of ACL SETUSER."""
        return [words.split()[0].lower() for words in self.commands]


# Scripts run with the rights of their caller, so the commands in settle.lua and the others are here too.
NEEDS = (
    Need(
        "nothing can be settled: no stage runs",
        (
            *("MULTI", "EXEC", "DISCARD"),
            *("EVALSHA 0 1 KEY", "EVAL probe 1 KEY", "TIME", "TYPE KEY", "EXISTS KEY", "XLEN KEY"),
            *("XADD KEY NOMKSTREAM * probe 1", "XACK KEY probe 0-1", "XPENDING KEY probe"),
            *("HSET KEY probe 1 probe", "HINCRBY KEY probe none", "HGET KEY probe", "HMGET KEY probe"),
            "HGETALL KEY",
        ),
    ),
    Need(
        "stages cannot read",
        (
            *("XGROUP|CREATE KEY probe 0", "XREADGROUP GROUP probe probe STREAMS KEY >", "XRANGE KEY - +"),
            *("XINFO|GROUPS KEY", "XINFO|CONSUMERS KEY probe", "XREVRANGE KEY + -", "ZCARD KEY"),
            *("HKEYS KEY", "HDEL KEY probe", "CLIENT|ID", "CLIENT|SETNAME probe"),
        ),
    ),
    Need(
        "entries of a worker that died are never taken over",
        (
            *("XAUTOCLAIM KEY probe probe 1 0", "XCLAIM KEY probe probe 1 0-1"),
            "XGROUP|DELCONSUMER KEY probe probe",
        ),
    ),
    Need(
        "no run begins: it cannot say that it is there, nor keep failed records for their next attempt",
        (
            "ZADD KEY none probe",
            "ZREM KEY probe",
            "ZSCORE KEY probe",
            "ZRANGE KEY 0 0",
            "ZRANGEBYSCORE KEY 0 0",
        ),
    ),
    Need(
        "a run of a changed file cannot end the group of a stage that now reads another stream, or none",
        ("XGROUP|DESTROY KEY probe",),
    ),
    Need(
        "stages that remember something do not run",
        (
            *("SADD KEY probe", "SCARD KEY", "SMISMEMBER KEY probe", "HSTRLEN KEY probe", "HLEN KEY"),
            *("HEXISTS KEY probe", "HSCAN KEY 0", "UNLINK KEY"),
        ),
    ),
    Need("acknowledged entries are never trimmed, and streams grow", ("XTRIM KEY MINID 0",)),
    Need(
        "processes cannot share sources, sinks and the `rate` of a stage",
        ("SET KEY probe EX none", "GET KEY", "MGET KEY", "INCR KEY", "DEL KEY"),
    ),
    Need(
        "`run --fresh` and `dlq` cannot remove anything, and `trace` does not find what waits for a retry",
        ("SCAN 0", "XDEL KEY 0-1", "ZSCAN KEY 0"),
        "operate",
    ),
    Need(
        "a stage that is renamed or given up cannot take along, or leave, what it holds",
        ("RENAME KEY KEY", "XGROUP|SETID KEY probe 0"),
        "operate",
    ),
    Need(
        "`doctor` and `status` cannot tell how full the server is and of what, nor who asks",
        ("INFO", "PING", "ACL|WHOAMI", "MEMORY|USAGE KEY"),
        "operate",
    ),
)

CLUSTERED = ("cluster|slots", "asking")
"""Commands that a cluster needs in addition: for its layout, and to follow a slot that is being moved."""

WATCHED = ("role",)
"""Commands that sentinels need in addition: a server that has become a replica is not used."""

WELCOME = ("CLIENT|UNBLOCK 0", "CONFIG|GET appendonly", "CLIENT|SETINFO lib-name probe")
"""
Commands that are used if allowed, and given to no user.

CLIENT UNBLOCK ends anyone's blocking command; without it a stop closes its own connection instead.
CONFIG GET reads the server's passwords; without it `doctor` reports less.
CLIENT SETINFO is redis-py's, for CLIENT LIST.
"""


def commands(role: Role) -> Iterator[str]:
    """List the commands that a role needs, in the syntax of ACL SETUSER."""
    for need in NEEDS:
        if need.role in ("run", role):
            yield from need.names
