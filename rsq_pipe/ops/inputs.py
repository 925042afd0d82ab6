"""Inputs: the consumers of a stage's inputs, and the age of the oldest waiting entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command
from rsq_pipe.streams.stats import EARLIEST, ConsumerInfo, consumer_info
from rsq_pipe.streams.worker import is_gone


class InputState(Struct, frozen=True):
    """
    Describe one input of a stage.

    Args:
        consumers: All consumers of the group.
        oldest_pending: When its oldest delivered, unsettled entry was written, in milliseconds of the
            server's clock; None if there is none, or its id contains no time.
        oldest_undelivered: The same for the first entry not delivered yet.
    """

    consumers: tuple[ConsumerInfo, ...]
    oldest_pending: int | None
    oldest_undelivered: int | None


async def read_input(client: StreamClient, stream: str, group: str, last_delivered: str) -> InputState:
    """
    Read the state of one input. A group that disappears during that is an empty input.

    Redis: XINFO CONSUMERS, XPENDING and XRANGE, of one entry each; nothing is written.
    """
    commands: list[Command] = [
        ["XINFO", "CONSUMERS", stream, group],
        ["XPENDING", stream, group, "-", "+", 1],
        ["XRANGE", stream, f"({last_delivered}", "+", "COUNT", 1],
    ]
    consumers, pending, undelivered = (
        [] if isinstance(reply, Exception) else reply
        for reply in await client.channel.exchange(commands, key=stream)
    )
    return InputState(tuple(map(consumer_info, consumers)), _written(pending), _written(undelivered))


def is_alive(consumer: ConsumerInfo, runs: Sequence[str], patience: float) -> bool:
    """
    Return whether a process still works under a consumer's name.

    Silence alone proves nothing: a stage that waits for the stream below it to drain does not read.

    Args:
        consumer: The consumer.
        runs: Names of the processes that have shown a sign of life.
        patience: Seconds of silence after which others take its entries over.
    """
    if is_gone(consumer.name):
        return False
    return consumer.idle_ms < patience * 1000 or _process(consumer.name) in map(_process, runs)


def _process(name: str) -> tuple[str, ...]:
    """Parse the host and the process id from a worker's name."""
    host, _, number = name.rpartition("_")
    return (host.rpartition("_")[2], number.partition("-")[0])


def _written(entries: Sequence[Any]) -> int | None:
    if not entries:
        return None
    when = int(entries[0][0].partition(b"-")[0])
    return when if when >= EARLIEST else None
