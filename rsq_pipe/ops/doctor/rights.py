"""Rights: whether the user may run all commands of a pipeline, according to `ops.rights`."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rsq_pipe.ops.doctor.facts import Finding, refused
from rsq_pipe.ops.rights import NEEDS, Role, commands
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command

_FRAME = ("MULTI", "DISCARD", "EXEC")


class Rights(Struct, frozen=True):
    """
    Hold the missing rights of the user.

    Args:
        commands: Command in the syntax of ACL SETUSER -> the server's message.
        key: The key that was tried.
        key_refused: Whether the user may not access the key with any command.
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
    # MULTI is tried alone first: if it were refused, the commands after it in the same write would be run.
    # The EXEC finds nothing.
    opened = await channel.exchange([[name] for name in _FRAME], key=key)
    refusals = (refused(reply, channel.address) for reply in opened)
    denied = {name.lower(): words for name, words in zip(_FRAME, refusals, strict=True) if _is_denial(words)}
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


def judge_rights(rights: Rights, user: str, spec: str = "SPEC") -> Iterator[Finding]:
    """Judge the user's rights; `spec` is the pipeline's file in a command."""
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
    yield from _missing(rights, name, spec)
    if not rights.key_refused and not _lacks(rights, "run"):
        role: Role = "run" if _lacks(rights, "operate") else "operate"
        can = "every feature can be used" if role == "operate" else "pipelines run"
        count = len(list(commands(role)))
        yield Finding("rights", "ok", f"user {name!r} may run all {count} commands it takes", can)


def _missing(rights: Rights, name: str, spec: str) -> Iterator[Finding]:
    for need in NEEDS:
        missing = [command for command in need.names if command in rights.commands]
        if not missing:
            continue
        seen = f"user {name!r} may not run {', '.join(map(_shown, missing))}"
        if need.role == "run":
            allow = f"ACL SETUSER {name} {' '.join(f'+{command}' for command in missing)}"
            yield Finding("rights", "problem", seen, need.effect, allow)
        else:
            effect = f"{need.effect}; right for a user that only runs pipelines"
            mend = f"`rsq-pipe acl {spec}` prints a second user for that"
            yield Finding("rights", "note", seen, effect, mend)


def key_refused(key: str, pattern: str, user: str) -> Finding:
    """Make the finding that the user may not access a key."""
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


def _lacks(rights: Rights, role: Role) -> bool:
    return any(command in rights.commands for command in commands(role))


def _shown(command: str) -> str:
    return command.upper().replace("|", " ")
