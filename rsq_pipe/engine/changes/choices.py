"""Choices: why a changed file is refused, and what can be done about it, as commands to copy."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from rsq_pipe.connectors.table import SOURCES
from rsq_pipe.engine.changes.change import Plan, StageChange
from rsq_pipe.redaction import redact
from rsq_pipe.spec.endless import endless_input
from rsq_pipe.spec.fusing import sends
from rsq_pipe.spec.graph import ConnectorRef, Graph, Stage


def refusal(
    graph: Graph,
    found: Plan,
    options: str = "",
    *,
    runs: Sequence[str] = (),
    unnamed: Sequence[str] = (),
) -> str:
    """
    Explain why a file is refused, and what can be done about it.

    Args:
        graph: The file.
        found: What running it would do; it strands something.
        options: What the commands need besides the file, such as ` --redis URL`.
        runs: Names of the processes that run another version of the file: under these, no choice is possible.
        unnamed: Stages about which a command with `--rename` or `--discard` says nothing.
    """
    spec = f"{graph.spec}{options}"
    old = f"{shlex.quote(str(graph.path.with_suffix('.last.yaml')))}{options}"
    here = [change for change in found.stranded if change.kind == "changed"]
    what = "does not have stages that an earlier run of it left something in"
    if here:
        what = "cannot use what an earlier run of it left in its stages"
    lines = [f"{graph.path}: this file {what}:"]
    lines += [f"  stage {change.stage!r} {change.stranded}" for change in found.stranded]
    why = f", because the command says nothing about {' and '.join(map(repr, unnamed))}" if unnamed else ""
    if runs:
        lines += [f"Stop what still runs another version of the file first: {', '.join(runs)}"]
    lines += [f"Nothing was run{why}. Choose one of:"]
    lines += _finish(graph, found, spec, old)
    lines += _rename(found, spec)
    lines += _give_up(found.stranded, spec)
    lines += _start_over(graph, spec)
    if redact(options) != options:
        variable = "with the URL in RSQ_PIPE_REDIS the commands need no --redis"
        lines += [f"Write the password for ***, which is not printed; {variable}."]
    return "\n".join(lines)


def _finish(graph: Graph, found: Plan, spec: str, old: str) -> Iterator[str]:
    """Finish with the old file; if only dead letters are left, they need a replay first."""
    keep = shlex.quote(str(graph.path.with_suffix(".last.yaml")))
    dead = [change.stage for change in found.stranded if change.holds.dead]
    # Nothing can be put back into a source.
    replayable = [change.stage for change in found.stranded if change.holds.dead and change.verb != "source"]
    save = f"rsq-pipe plan {spec} --show-last > {keep}"
    if any(change.holds.waits or _is_finite(graph, change) for change in found.stranded):
        stay = "; dead letters stay, and the next run asks what becomes of them" if dead else ""
        yield f"- finish with the file as it was last run, then run this one{stay}:"
        yield f"    {save} && rsq-pipe run {old}"
    elif replayable:
        stages = " ".join(f"--stage {stage}" for stage in replayable)
        yield "- once their cause is fixed, replay the dead letters with the file as it was last run:"
        yield f"    {save} && rsq-pipe dlq replay {old} {stages} --yes && rsq-pipe run {old}"


def _is_finite(graph: Graph, change: StageChange) -> bool:
    """Return whether a stage emits its state once its input has ended, if the input can end."""
    if change.holds.keys == 0 or change.verb not in {"aggregate", "join"}:
        return False
    here = [stage for stage in graph.stages if stage.name == change.stage]
    return not any(endless_input(graph, stage) for stage in here)


def _rename(found: Plan, spec: str) -> Iterator[str]:
    """Offer new names: the likely ones, otherwise those of new stages not yet matched with another."""
    gone = [change for change in found.stranded if change.kind != "changed"]
    taken = {change.heir for change in gone}
    free = [change for change in found.stages if change.kind == "added" and change.stage not in taken]
    may_be = {
        change.stage: [new.stage for new in free if _may_be(change, new)]
        for change in gone
        if not change.heir
    }
    given_up = [stage for stage, names in may_be.items() if not names]
    unsure = [stage for stage, names in may_be.items() if names]
    sure = len(unsure) == 1 and len(may_be[unsure[0]]) == 1
    words = []
    for change in gone:
        new = change.heir or (may_be[change.stage][0] if sure and change.stage in unsure else "NEW")
        is_given_up = change.stage in given_up
        words.append(f"--discard {change.stage}" if is_given_up else f"--rename {change.stage}={new}")
    renamed = len(gone) - len(given_up)
    if not renamed:
        return
    what = "the same stage under a new name, which takes over all it holds"
    if renamed > 1:
        what = "the same stages under new names, which take over all they hold"
    if given_up:
        what += f"; {' and '.join(map(repr, given_up))} given up, which is exported to a file first"
    if unsure and not sure:
        names = dict.fromkeys(name for stage in unsure for name in may_be[stage])
        what += f" (for NEW put one of {', '.join(names)})"
    yield f"- {what}:"
    yield f"    rsq-pipe run {spec} {' '.join(words)}"


def _may_be(old: StageChange, new: StageChange) -> bool:
    """Return whether a stage can take over what another one held: a source only from a source, and so on."""
    ends = ("source", "sink")
    return not old.verb or old.verb == new.verb or not (old.verb in ends or new.verb in ends)


def _give_up(stranded: Sequence[StageChange], spec: str) -> Iterator[str]:
    it, holds = ("it", "it holds") if len(stranded) == 1 else ("them", "they hold")
    restarted = [change.heir for change in stranded if change.holds.is_empty]
    what = f"what {holds} is exported to a file first"
    if len(restarted) == len(stranded):
        what = f"{' and '.join(map(repr, restarted))} begins again"
    elif restarted:
        what += f", and {' and '.join(map(repr, restarted))} begins again"
    yield f"- give {it} up; {what}:"
    yield f"    rsq-pipe run {spec} {' '.join(f'--discard {change.stage}' for change in stranded)}"


def _start_over(graph: Graph, spec: str) -> Iterator[str]:
    """Offer `--fresh`, unless a source cannot be read again: what it brought would be lost."""
    if any(_is_gone_once_read(stage) for stage in graph.stages if stage.verb == "source"):
        return
    senders = [stage.name for stage in graph.stages if stage.verb == "sink" and _sends_on(stage)]
    what = "read all sources again, write the sinks anew, and delete what all stages hold"
    if senders:
        what += (
            f"; {' and '.join(map(repr, senders))} send{'s' if len(senders) == 1 else ''} everything again"
        )
    yield f"- start over: {what}:"
    yield f"    rsq-pipe run {spec} --fresh"


def _is_gone_once_read(source: Stage) -> bool:
    ref: ConnectorRef = source.options
    listed = SOURCES.get(ref.type)
    return (listed is not None and not listed.rereadable) or getattr(ref.options, "path", None) == ("-",)


def _sends_on(sink: Stage) -> bool:
    """Return whether data that a sink has sent remain when it starts over."""
    return sends(sink) or sink.options.type in {"mqtt", "stream"}
