"""Run report: the output of `run` at its end: a table for people, a document or a log line for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from rsq_pipe.cli.output.note import console_for
from rsq_pipe.cli.output.printable import on_one_line
from rsq_pipe.cli.output.table import drop_lines, summary_table, unknown_lines
from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.summary import StageSummary, Summary
from rsq_pipe.model.outcome import NO_RECORD
from rsq_pipe.spec.graph import Graph
from rsq_pipe.telemetry.logs import LogFormat
from rsq_pipe.units import counted

_NO_RETURN = "its handler returned None for every record, which drops it; return the record to pass it on"


def report(
    graph: Graph, summary: Summary, stages: Collection[str] | None, *, as_json: bool, log_format: LogFormat
) -> None:
    """
    Report how a run ended.

    Args:
        graph: The pipeline.
        summary: Its results.
        stages: The stages that were run; None for all.
        as_json: Print one line of JSON to standard output, and nothing for people.
        log_format: `json` leaves tables out: the report is then a log line.
    """
    above = fused(graph, stages)
    if as_json:
        # The last line on standard output: a `stdout` sink has printed its records before.
        sys.stdout.write(json.dumps(document(graph, summary, above)) + "\n")
        sys.stdout.flush()
    elif log_format == "json":
        found = document(graph, summary, above)
        structlog.get_logger("rsq_pipe").info("done" if summary.finished else "stopped", **found)
    else:
        _print(graph, summary, above)


def report_cut_sources(graph: Graph, sources: Sequence[str]) -> None:
    """Report that there may be more records than `--limit` allowed, and what becomes of them."""
    structlog.get_logger("rsq_pipe").info(
        "read no more, by --limit; a run without it goes on there, and closes the windows that are open",
        pipeline=graph.pipeline,
        sources=", ".join(sources),
    )


def document(graph: Graph, summary: Summary, above: Mapping[str, str]) -> dict[str, Any]:
    """Return the keys of `run --json`, which stay the same from one release to the next."""
    return {
        "pipeline": graph.pipeline,
        "finished": summary.finished,
        "seconds": round(summary.seconds, 3),
        "dead": summary.dead,
        "dead_letters": summary.dead_letters,
        "waiting": sum(summary.waiting.values()),
        "other_processes": summary.others,
        "stages": [
            {
                **_stage(name, stage, above.get(name)),
                "waiting": summary.waiting.get(name, 0),
                "paused": {"why": paused.why, "since": paused.since}
                if (paused := summary.paused.get(name))
                else None,
            }
            for name, stage in summary.stages.items()
        ],
    }


def _stage(name: str, stage: StageSummary, above: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "in": stage.received,
        "records": stage.records,
        "out": stage.emitted,
        "dropped": stage.dropped,
        "stored": stage.stored,
        "retried": stage.retried,
        "dead": stage.dead,
        "drops": dict(stage.drops),
        "unknown": dict(stage.unknown),
        "fused": above,
    }


def _print(graph: Graph, summary: Summary, above: Mapping[str, str]) -> None:
    console = console_for(sys.stderr, soft_wrap=True)
    if summary.finished and summary.nothing_new:
        why = (
            "its sources hold no records"
            if summary.untouched
            else "nothing new; all sources were read to their end before. Use --fresh to start over"
        )
        console.print(f"{graph.pipeline}: {why}.")
    else:
        console.print(summary_table(summary, above), soft_wrap=False)
        for line in drop_lines({name: stage.drops for name, stage in summary.stages.items()}):
            console.print(line)
        for name in _without_return(summary):
            console.print(f"{name}: {_NO_RETURN}")
        for line in unknown_lines({name: stage.unknown for name, stage in summary.stages.items()}):
            console.print(line)
        for name, paused in summary.paused.items():
            since = datetime.fromtimestamp(paused.since).astimezone().isoformat(" ", "seconds")
            console.print(on_one_line(f"{name} paused since {since}: {paused.why}"), markup=False)
        if summary.others:
            among = f"{summary.others} other{'' if summary.others == 1 else 's'} among them"
            console.print(
                f"{graph.pipeline}: the numbers are of all processes that ran it at the same time, {among}"
            )
        console.print(f"{graph.pipeline}: {_end(graph, summary)}", markup=False)
    if summary.dead_letters:
        spec = on_one_line(graph.spec)
        console.print(
            f"{graph.pipeline}: {counted(summary.dead_letters, 'dead letter')} in all, "
            f"{summary.dead:,} of this run; rsq-pipe dlq list {spec} shows them",
            markup=False,
        )


def _without_return(summary: Summary) -> list[str]:
    """Name the stages whose handlers probably lack a `return`: all that they were given was dropped."""
    stages = summary.stages.items()
    return [name for name, stage in stages if 0 < stage.records == stage.drops.get(NO_RECORD)]


def _end(graph: Graph, summary: Summary) -> str:
    if summary.finished:
        return f"done in {summary.seconds:.1f}s"
    waiting = sum(summary.waiting.values())
    left = f"{counted(waiting, 'record')} still wait{'s' if waiting == 1 else ''}: " if waiting else ""
    return f"stopped after {summary.seconds:.1f}s; {left}rsq-pipe run {on_one_line(graph.spec)} goes on"
