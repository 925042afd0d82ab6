"""Rights: whether the user may do all that a pipeline does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rsq_pipe.ops.doctor.facts import refused
from rsq_pipe.ops.doctor.finding import Finding
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command


@dataclass(frozen=True, slots=True)
class Need:
    """
    Name a group of commands and what fails without them.

    Args:
        effect: What does not work.
        commands: Each with arguments that would change nothing if it were run, which it is not; as many as
            it takes at least, for that is checked before the rights. KEY stands for a key of the pipeline.
    """

    effect: str
    commands: tuple[str, ...]


# Scripts run with the rights of their caller, so what stands in settle.lua and its kin is here too.
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
            *(
                "HKEYS KEY",
                "HDEL KEY probe",
                "CLIENT|ID",
                "CLIENT|UNBLOCK 0",
                "CLIENT|SETNAME probe",
            ),
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
        ("ZADD KEY none probe", "ZREM KEY probe", "ZRANGE KEY 0 0", "ZRANGEBYSCORE KEY 0 0"),
    ),
    Need("acknowledged entries are never trimmed, and streams grow", ("XTRIM KEY MINID 0",)),
    Need(
        "processes cannot share sources and sinks",
        ("SET KEY probe EX none", "GET KEY", "INCR KEY", "DEL KEY"),
    ),
    Need(
        "`run --fresh` and `dlq` cannot remove anything",
        ("SCAN 0", "UNLINK KEY", "XDEL KEY 0-1", "XGROUP|DESTROY KEY probe"),
    ),
)


_FRAME = ("MULTI", "DISCARD", "EXEC")


@dataclass(frozen=True, slots=True)
class Rights:
    """
    Hold what the user may not do.

    Args:
        commands: Command as ACL SETUSER spells it -> the server's words.
        key: The key that was tried.
        key_refused: Whether the user may not touch the key, whatever the command.
    """

    commands: dict[str, str]
    key: str
    key_refused: bool = False


async def probe(client: StreamClient, key: str) -> Rights:
    """
    Try every command without running any.

    Rights are checked when a command is queued in a transaction; the transaction is discarded.

    Redis: MULTI, each command, DISCARD.
    """
    channel = client.channel
    # Alone first: were MULTI refused, what follows in the same write would be run. The EXEC finds nothing.
    opened = await channel.exchange([[name] for name in _FRAME], key=key)
    said = (refused(reply, channel.address) for reply in opened)
    denied = {name.lower(): words for name, words in zip(_FRAME, said, strict=True) if _is_denial(words)}
    if "multi" in denied or "discard" in denied:
        return Rights(denied, key)
    names = [words.split()[0] for need in NEEDS for words in need.commands if words not in _FRAME]
    calls = [_call(words, key) for need in NEEDS for words in need.commands if words not in _FRAME]
    _, *replies, _ = await channel.exchange([["MULTI"], *calls, ["DISCARD"]], key=key)
    closed = False
    for name, reply in zip(names, replies, strict=True):
        words = refused(reply, channel.address)
        if "access a key" in words:
            closed = True
        elif _is_denial(words):
            denied[name.lower()] = words
    return Rights(denied, key, key_refused=closed)


def judge_rights(rights: Rights, user: str) -> Iterator[Finding]:
    """Judge what the user may do."""
    name = user or "USER"
    if rights.key_refused:
        yield key_refused(rights.key, f"{rights.key.partition(':')[0]}:*", user)
    if "multi" in rights.commands or "discard" in rights.commands:
        yield Finding(
            *("rights", "problem", f"user {name!r} may not run MULTI and DISCARD"),
            "no pipeline runs; and the other rights could not be tried, since that is done inside MULTI",
            f"ACL SETUSER {name} +multi +exec +discard, and ask again",
        )
        return
    for need in NEEDS:
        missing = [command for command in _names(need) if command in rights.commands]
        if missing:
            yield Finding(
                *("rights", "problem", f"user {name!r} may not run {', '.join(map(_shown, missing))}"),
                need.effect,
                f"ACL SETUSER {name} {' '.join(f'+{command}' for command in missing)}",
            )
    if not rights.commands and not rights.key_refused:
        count = sum(len(need.commands) for need in NEEDS)
        yield Finding(
            "rights", "ok", f"user {name!r} may run all {count} commands", "every feature can be used"
        )


def key_refused(key: str, pattern: str, user: str) -> Finding:
    """Say that the user may not touch a key."""
    name = user or "USER"
    return Finding(
        *("rights", "problem", f"user {name!r} may not use the key {key!r}"),
        "a stage that reads or writes it cannot run",
        f"ACL SETUSER {name} ~{pattern}",
    )


def _is_denial(words: str) -> bool:
    return "NOPERM" in words or "unknown command" in words


def _call(words: str, key: str) -> Command:
    return [key if word == "KEY" else word for part in words.split() for word in part.split("|")]


def _names(need: Need) -> list[str]:
    return [words.split()[0].lower() for words in need.commands]


def _shown(command: str) -> str:
    return command.upper().replace("|", " ")
