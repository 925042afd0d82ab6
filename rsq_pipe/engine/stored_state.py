"""StoredState: what a stage remembers, read from the server for its verb."""

from __future__ import annotations

import asyncio
from typing import Any

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import HandlerError, StreamError
from rsq_pipe.model.state import Fields, Members, Now, Page, Question, StateChange, Timers
from rsq_pipe.spec.graph import Stage
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command, checked
from rsq_pipe.streams.settlement import StateOf


class StoredState:
    """
    Read the state of one stage; only its settlements write it.

    Args:
        client: The server.
        pipeline: The pipeline's name.
        stage: The stage.
    """

    def __init__(self, client: StreamClient, pipeline: str, stage: Stage) -> None:
        keys = Keyspace(pipeline)
        self._client = client
        self._at = StateOf(keys.state(stage), keys.timers(stage), StateChange())
        self._backoff = Backoff(f"{stage.name} (state)")
        self._stopping = asyncio.Event()

    async def ask(self, *questions: Question) -> list[Any]:
        """
        Ask several questions at once; again and again while the server is away, until `stop`.

        Raises:
            StreamError: What time does not mend; a server that is away only after `stop`.

        Redis: TIME, HMGET, SMISMEMBER, HSCAN and ZRANGEBYSCORE in one write.
        """
        commands = [self._command(question) for question in questions]
        while True:
            try:
                replies = await self._client.channel.exchange(commands, key=self._at.key)
                address = self._client.channel.address
                found = [checked(reply, address) for reply in replies]
            except StreamError as exc:
                if not exc.retryable or self._stopping.is_set():
                    raise
                await self._backoff.wait(exc, self._stopping)
            else:
                self._backoff.reset()
                return [_answer(question, reply) for question, reply in zip(questions, found, strict=True)]

    def stop(self) -> None:
        """Wait for the server no longer."""
        self._stopping.set()

    def _command(self, question: Question) -> Command:
        at = self._at
        match question:
            case Now():
                return ["TIME"]
            case Fields(fields, bucket):
                return ["HMGET", at.bucket(bucket), *fields]
            case Members(bucket, members):
                return ["SMISMEMBER", at.bucket(bucket), *members]
            case Page(bucket, cursor, size):
                return ["HSCAN", at.bucket(bucket), cursor, "COUNT", size]
            case Timers(until, most):
                return ["ZRANGEBYSCORE", at.timers, "-inf", str(until), "WITHSCORES", "LIMIT", 0, most]


def _answer(question: Question, reply: Any) -> Any:
    match question:
        case Now():
            return int(reply[0]) * 1000 + int(reply[1]) // 1000
        case Fields():
            return reply
        case Members():
            return [bool(is_member) for is_member in reply]
        case Page():
            cursor, flat = reply
            return int(cursor), dict(zip(flat[::2], flat[1::2], strict=True))
        case Timers():
            return {name.decode(): float(due) for name, due in zip(reply[::2], reply[1::2], strict=True)}


def too_many_keys(stage: Stage, most: int) -> HandlerError:
    """Make the error of a stage that would have to remember more than it may."""
    return HandlerError(
        f"stage {stage.name!r} remembers {most:,} keys at most, its `max_keys`, and was given more; raise "
        "`max_keys`, or have it remember less. Its records stay pending",
        stage=stage.name,
    )
