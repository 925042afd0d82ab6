"""LastFailure: the error that ended a run of the pipeline, kept on the server for status reports."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.error_text import full_text, one_line
from rsq_pipe.errors import RsqPipeError
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.dead_letter import writable

FIELD = "failed"
"""Name of the field of the pipeline's hash."""

UNREAD = "unread"
"""The field that exists from the start of a run until some run has seen all sources end."""

CUT_OFF = (
    "its process ended without a word: it was killed, its own code ended it, as os._exit does, or the server "
    "refused to store why; its log may say more"
)
"""The error reported for a run whose process is gone but left its sign of life behind."""

HEALTHY = 30.0
"""Seconds a run must work before an earlier failure is deleted: so one that keeps dying shows it."""

_MAX_WHY = 1_000


class Failed(msgspec.Struct, frozen=True):
    """
    Describe what ended a run.

    Args:
        why: The error.
        at: When, in seconds since 1970.
    """

    why: str
    at: float


class LastFailure:
    """
    Store the error that ends this run; delete that of an earlier run once this one works.

    Args:
        client, graph: The pipeline.
    """

    def __init__(self, client: StreamClient, graph: Graph) -> None:
        self._channel = client.channel
        self._meta = Keyspace(graph.pipeline).meta
        self._began = time.monotonic()
        self._forgot = False

    async def forget(self) -> None:
        """
        Delete the error of an earlier run, if this one has worked for long enough.

        Redis: HDEL, once.
        """
        if not self._forgot and time.monotonic() - self._began >= HEALTHY:
            await self._channel.execute("HDEL", self._meta, FIELD, key=self._meta)
            self._forgot = True

    async def ends(
        self, fault: BaseException | None, *, finished: bool, cut: bool = False, beside: bool = False
    ) -> None:
        """
        Store what ends this run; if it has finished, delete what was stored.

        Args:
            fault: The error that ends it, if any.
            finished: Whether it has finished.
            cut: Whether its sources may nevertheless hold more.
            beside: Whether this is one of several processes: another may have stored what ends all of them.

        Redis: HSET or HDEL.
        """
        if fault is not None:
            await self.keep(
                one_line(fault) if isinstance(fault, RsqPipeError) else full_text(fault), time.time()
            )
        elif finished:
            fields = [*([] if beside else [FIELD]), *([] if cut else [UNREAD])]
            if fields:
                await self._channel.execute("HDEL", self._meta, *fields, key=self._meta)

    async def stored(self) -> Failed | None:
        """
        Return what ended a run, if an error is stored.

        Redis: HGET.
        """
        kept = await self._channel.execute("HGET", self._meta, FIELD, key=self._meta)
        return last_failure({FIELD: kept.decode()} if kept else {})

    async def keep(self, why: str, at: float) -> None:
        """
        Store what ended a run, and when.

        Redis: HSET.
        """
        kept = msgspec.json.encode(Failed(redact(writable(why))[:_MAX_WHY], at))
        await self._channel.execute("HSET", self._meta, FIELD, kept, key=self._meta)


def last_failure(table: Mapping[str, str]) -> Failed | None:
    """Read it from the fields of the pipeline's hash; None if there is none."""
    try:
        return msgspec.json.decode(table[FIELD], type=Failed) if FIELD in table else None
    except msgspec.DecodeError:  # another release wrote it
        return None
