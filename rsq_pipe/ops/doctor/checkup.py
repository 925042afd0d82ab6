"""Checkup: all checks of the doctor, in order."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.engine.changes.change import Plan
from rsq_pipe.engine.changes.changeover import plan
from rsq_pipe.errors import SettleError
from rsq_pipe.ops.acl import outside, pattern
from rsq_pipe.ops.doctor.facts import Finding, gather, refused
from rsq_pipe.ops.doctor.memory import judge_memory
from rsq_pipe.ops.doctor.persistence import judge_persistence
from rsq_pipe.ops.doctor.replication import judge_replication
from rsq_pipe.ops.doctor.rights import judge_rights, key_refused, probe
from rsq_pipe.ops.doctor.timing import judge_timing
from rsq_pipe.ops.doctor.version import judge_version
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient

NOBODYS = "{rsq-pipe}:doctor"
"""The key that is tried if no pipeline is named; nothing is ever written to it."""

# It has the flags of settle.lua, and reads the time: it writes nothing.
_HARMLESS = "#!lua flags=allow-oom\nreturn redis.call('TIME')\n"


async def examine(client: StreamClient, graph: Graph | None = None) -> list[Finding]:
    """
    Examine a server, for one pipeline or in general.

    Changes nothing, except that the server caches one more script until it restarts.

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
        return findings  # the queried node does not hold the pipeline's keys
    return [*findings, *await _changed(client, graph)]


async def _changed(client: StreamClient, graph: Graph | None) -> list[Finding]:
    """Compare the pipeline's file with the last run; missing read rights are reported elsewhere."""
    try:
        return list(judge_change(await plan(client, graph), graph.spec)) if graph else []
    except SettleError:
        return []


async def _closed(client: StreamClient, graph: Graph | None) -> list[str]:
    """List the streams from outside that the user may not access."""
    names = outside(graph) if graph else []
    return [name for name in names if (await probe(client, name)).key_refused]


def judge_change(found: Plan, spec: str) -> Iterator[Finding]:
    """Judge a file that differs from the one that ran last; `spec` is the file's name in a command."""
    if not found.differs:
        return
    if found.stranded:
        lost = "nothing is lost: `run` refuses it until you choose what becomes of what is left"
        yield Finding("plan", "warning", found.outlook, lost, f"rsq-pipe plan {spec}")
    else:
        yield Finding("plan", "note", found.outlook, "nothing is lost and nothing comes twice", "")


async def judge_scripts(client: StreamClient, key: str) -> Iterator[Finding]:
    """
    Run a script that changes nothing.

    Redis: EVAL.
    """
    (ran,) = await client.channel.exchange([["EVAL", _HARMLESS, 1, key]], key=key)
    return iter(_finding(refused(ran, client.channel.address)))


def _finding(refusal: str) -> list[Finding]:
    if not refusal:
        holds = (
            "a batch is settled in one step: outputs, retries, dead letters and acknowledgements, or nothing"
        )
        return [Finding("scripts", "ok", "a script with flags was run", holds)]
    if "NOPERM" in refusal:  # missing rights are a separate finding
        return []
    return [
        Finding(
            *("scripts", "problem", f"a harmless script was refused: {refusal}"),
            "without scripts nothing can be settled: no stage runs",
            "use a server that runs Lua scripts" if "unknown command" in refusal else "",
        )
    ]
