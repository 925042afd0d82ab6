"""Checkup: everything the doctor looks at, in order."""

from __future__ import annotations

from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.errors import SettleError
from rsq_pipe.ops.acl import outside, pattern
from rsq_pipe.ops.doctor.change import judge_change
from rsq_pipe.ops.doctor.facts import gather
from rsq_pipe.ops.doctor.finding import Finding
from rsq_pipe.ops.doctor.memory import judge_memory
from rsq_pipe.ops.doctor.persistence import judge_persistence
from rsq_pipe.ops.doctor.replication import judge_replication
from rsq_pipe.ops.doctor.rights import judge_rights, key_refused, probe
from rsq_pipe.ops.doctor.scripts import judge_scripts
from rsq_pipe.ops.doctor.timing import judge_timing
from rsq_pipe.ops.doctor.version import judge_version
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient

NOBODYS = "{rsq-pipe}:doctor"
"""The key tried where no pipeline is named; nothing is ever written to it."""


async def examine(client: StreamClient, graph: Graph | None = None) -> list[Finding]:
    """
    Examine a server, for one pipeline or for any.

    Changes nothing, except that the server remembers one more script until it restarts.

    Raises:
        ServerUnavailableError: It cannot be reached.
    """
    key = f"{{{graph.pipeline}}}:doctor" if graph else NOBODYS
    facts = await gather(client, key)
    findings = [
        *judge_version(facts),
        *judge_persistence(facts),
        *judge_memory(facts, graph),
        *judge_rights(await probe(client, key), facts.user, graph.spec if graph else "SPEC"),
        *[key_refused(name, pattern(name), facts.user) for name in await _closed(client, graph)],
        *await judge_scripts(client, key),
        *judge_replication(facts),
        *judge_timing(facts),
    ]
    if any((finding.check, finding.level) == ("cluster", "problem") for finding in findings):
        return findings  # the node that was asked does not hold the pipeline's keys
    return [*findings, *await _changed(client, graph)]


async def _changed(client: StreamClient, graph: Graph | None) -> list[Finding]:
    """Compare the pipeline's file with the last run; a user who may not look is told of that elsewhere."""
    try:
        return list(judge_change(await plan(client, graph), graph.spec)) if graph else []
    except SettleError:
        return []


async def _closed(client: StreamClient, graph: Graph | None) -> list[str]:
    """List the streams from outside that the user may not touch."""
    names = outside(graph) if graph else []
    return [name for name in names if (await probe(client, name)).key_refused]
