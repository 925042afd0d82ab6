"""Stale: reports lookups that still use an old table because the new one is invalid."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import structlog

from rsq_pipe.engine.chain import Link
from rsq_pipe.engine.keyspace import Keyspace, lookups
from rsq_pipe.engine.state.paused import RENEWED, Paused
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.clock import server_time
from rsq_pipe.streams.dead_letter import writable
from rsq_pipe.verbs.lookup import FileLookup
from rsq_pipe.verbs.tables.held_table import HeldTable

PERIOD = 1.0
"""Seconds between two checks of the tables."""

_MAX_WHY = 300


def stale_field(stage: str) -> str:
    """Name the field of the pipeline's hash that says that a stage's table is old."""
    return f"paused:{stage}:table"


def stale_fields(graph: Graph) -> list[str]:
    """Name the fields of all lookup stages."""
    return [stale_field(stage.name) for stage in lookups(graph)]


def stale_stages(graph: Graph, table: Mapping[str, str], now: float) -> dict[str, Paused]:
    """Read from the fields of the pipeline's hash which stages work with an old table."""
    found = {stage.name: Paused.load(table.get(stale_field(stage.name))) for stage in lookups(graph)}
    return {name: one for name, one in found.items() if one is not None and one.holds(now)}


class Tables:
    """
    Watch the files that one process's lookups hold, and report those that cannot be reloaded.

    Args:
        client, graph: The pipeline.
        by: The process's name.
    """

    def __init__(self, client: StreamClient, graph: Graph, by: str = "") -> None:
        self._client = client
        self._meta = Keyspace(graph.pipeline).meta
        self._by = by
        self._held: dict[str, HeldTable] = {}
        self._logged: dict[str, str] = {}
        self._readings: dict[str, int] = {}
        self._written: dict[str, float] = {}
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline)

    def watch(self, links: Iterable[Link]) -> None:
        """Watch the tables of some stages."""
        for link in links:
            if isinstance(link.verb, FileLookup):
                self._held[link.stage.name] = link.verb.held

    async def publish(self) -> None:
        """
        Check whether files have changed, and report those that could not be reloaded to log and server.

        Raises:
            ServerUnavailableError: The server cannot be reached.

        Redis: HSET of one field per stage with an old table, every few seconds; HDEL once it has the new one.
        """
        execute, meta = self._client.channel.execute, self._meta
        for stage, held in self._held.items():
            held.reload_if_changed()
            self._log_change(stage, held)
            now = time.monotonic()
            if not held.trouble and stage in self._written:
                await execute("HDEL", meta, stale_field(stage), key=meta)
                del self._written[stage]
            elif held.trouble and now - self._written.get(stage, -RENEWED) >= RENEWED:
                why = redact(writable(held.trouble))[:_MAX_WHY]
                at = await server_time(self._client, meta)
                stale = Paused(why, at - (time.time() - held.since), at, self._by)
                await execute("HSET", meta, stale_field(stage), stale.dump(), key=meta)
                self._written[stage] = now

    def _log_change(self, stage: str, held: HeldTable) -> None:
        log = self._log.bind(stage=stage)
        if held.trouble and held.trouble != self._logged.get(stage):
            what = "the table has changed and cannot be used; going on with the old one"
            log.warning(what, error=redact(held.trouble))
            self._logged[stage] = held.trouble
        elif not held.trouble and self._logged.pop(stage, ""):
            log.warning("the table can be used again; the lookup now works with the new one")
        elif held.readings > self._readings.get(stage, 1):
            log.info("the table has changed and was read again", rows=len(held.table.rows))
        self._readings[stage] = max(held.readings, 1)  # the first reading is no change
