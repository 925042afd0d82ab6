"""State reading: asks for parts of a stage's state, with all questions in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from rsq_pipe.model.state import Fields, Known, Members, Now, Page, Question, Timers
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command, checked
from rsq_pipe.streams.script import KNOWN
from rsq_pipe.streams.settlement import StateOf


async def ask(client: StreamClient, at: StateOf, questions: Sequence[Question]) -> list[Any]:
    """
    Ask several questions about the state of a stage.

    Returns:
        An answer to each, all of the same moment.

    Raises:
        StreamError: From the server.

    Cancellation: safe.
    Redis: MULTI of TIME, HMGET, SMISMEMBER, HSCAN, ZRANGEBYSCORE and EVALSHA known.lua; all keys in one slot.
    """
    asked = [question for question in questions if not _is_empty(question)]
    commands = [_command(at, question) for question in asked]
    replies = await _transaction(client, at, commands) if commands else []
    if any(isinstance(reply, NoScriptError) for reply in replies):
        whole = [["EVAL", KNOWN.source, *one[2:]] if one[0] == "EVALSHA" else one for one in commands]
        replies = await _transaction(client, at, whole)
    answers = iter(
        [
            _answer(question, checked(reply, client.channel.address))
            for question, reply in zip(asked, replies, strict=True)
        ]
    )
    return [[] if _is_empty(question) else next(answers) for question in questions]


async def _transaction(client: StreamClient, at: StateOf, commands: Sequence[Command]) -> list[Any]:
    *queued, replies = await client.channel.transaction(commands, key=at.key)
    for reply in queued:
        # EXEC only says that there was an error, as in a cluster that serves nobody now.
        checked(reply, client.channel.address)
    found: list[Any] = checked(replies, client.channel.address)
    return found


def _command(at: StateOf, question: Question) -> Command:
    match question:
        case Now():
            return ["TIME"]
        case Fields(fields, bucket):
            return ["HMGET", at.bucket(bucket), *fields]
        case Members(bucket, members):
            return ["SMISMEMBER", at.bucket(bucket), *members]
        case Known(buckets, members):
            return ["EVALSHA", KNOWN.sha, len(buckets), *map(at.bucket, buckets), *members]
        case Page(bucket, cursor, size):
            return ["HSCAN", at.bucket(bucket), cursor, "COUNT", size]
        case Timers(until, most):
            return ["ZRANGEBYSCORE", at.timers, "-inf", str(until), "WITHSCORES", "LIMIT", 0, most]


def _is_empty(question: Question) -> bool:
    """Return whether there is nothing to ask: a command without arguments would be an error."""
    match question:
        case Fields(asked) | Members(_, asked):
            return not asked
        case Known(buckets, members):
            return not buckets or not members
    return False


def _answer(question: Question, reply: Any) -> Any:
    match question:
        case Now():
            return int(reply[0]) * 1000 + int(reply[1]) // 1000
        case Members():
            return [bool(is_member) for is_member in reply]
        case Page():
            cursor, flat = reply
            return int(cursor), dict(zip(flat[::2], flat[1::2], strict=True))
        case Timers():
            return {name.decode(): float(due) for name, due in zip(reply[::2], reply[1::2], strict=True)}
        case _:
            return reply
