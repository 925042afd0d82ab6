"""Status table: one line per stage, or one paragraph on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from rsq_pipe.cli.output.note import Note
from rsq_pipe.cli.output.printable import on_one_line, printable
from rsq_pipe.cli.output.table import Fitting, drop_lines, named, unknown_lines
from rsq_pipe.errors import NeverRanError
from rsq_pipe.ops.bounds import Breach
from rsq_pipe.ops.stage_status import StageStatus
from rsq_pipe.ops.status import PipelineStatus
from rsq_pipe.streams.memory import EVICTS
from rsq_pipe.units import age, counted, format_rate

COLUMNS = ("lag", "pending", "oldest", "retry", "dead", "consumers", "records/s", "records")
"""The columns for a stage."""


def status_table(
    status: PipelineStatus, breaches: Sequence[Breach] = (), *, spec: str = "SPEC"
) -> RenderableType:
    """
    Format a pipeline's status, and below it the limits that are exceeded.

    Args:
        status: The status.
        breaches: The limits.
        spec: The pipeline's file, as commands name it.
    """
    if not status.ran:
        never_ran = NeverRanError(status.pipeline, status.server)
        head: list[RenderableType] = [Note(Text(on_one_line(str(never_ran))))]
    else:
        notes = [Note(remark) for remark in remarks(status, spec)]
        head = [Note(Text(on_one_line(headline(status)))), _stages(status.stages), *notes]
    return Group(*head, *map(Note, warnings(breaches)))


def warnings(breaches: Sequence[Breach]) -> list[Text]:
    """Format the limits that are exceeded."""
    return [Text(on_one_line(f"! {breach.text}"), style="bold red") for breach in breaches]


def _stages(stages: Sequence[StageStatus]) -> Fitting:
    rows = [(Text(named(stage.name, stage.fused)), *cells(stage)) for stage in stages]
    return Fitting(("stage", *COLUMNS), rows)


def remarks(status: PipelineStatus, spec: str = "SPEC") -> list[Text]:
    """
    List what has no column in the table: drops, misses, state, windows, pauses, leftovers, changes.

    Args:
        status: The status.
        spec: The pipeline's file, as commands name it.
    """
    drops = drop_lines({stage.name: stage.drops for stage in status.stages})
    unknown = unknown_lines({stage.name: stage.unknown for stage in status.stages})
    failed = _failed(status)
    rest = (*_memories(status), *_windows(status), *_pauses(status, spec), *_left(status), *_changes(status))
    return [*failed, *_losing(status), *_ahead(status), *drops, *unknown, *_awaited(status, spec), *rest]


def headline(status: PipelineStatus) -> str:
    """Return the pipeline's name, its server, and whether it runs."""
    count = len(status.runs)
    runs = f"{count} {'process' if count == 1 else 'processes'} running" if count else "not running"
    if status.refusal and not count:
        runs = "no process can show that it runs"
    drained = ", drained" if status.drained else ""
    paused = [stage.name for stage in status.stages if stage.paused is not None]
    if drained and paused:
        verb = "pauses" if len(paused) == 1 else "pause"
        drained = f", what it has read is drained, but {', '.join(paused)} {verb}"
    elif drained and status.unread and not status.runs:
        drained = ", what it has read is drained, but the last run ended before its sources did"
    return f"{status.pipeline} on {status.server}: {runs}{drained}"


def _failed(status: PipelineStatus) -> Iterator[Text]:
    """Format the error of the last run, also if it starts again and again."""
    if status.failed is not None:
        which = "a run" if status.runs else "the last run"
        what = f"{which} ended {age(status.failed.seconds)} ago by an error: {status.failed.why}"
        yield Text(on_one_line(what), style="bold red")


def _ahead(status: PipelineStatus) -> Iterator[Text]:
    """Format that the server's clock was set back."""
    if status.ahead_seconds:
        what = (
            "the clock of the server is behind: it was set back, or another server took over. Stored times "
            f"lie up to {age(status.ahead_seconds)} in the future: until then retries, `within`, `idle` and "
            "leases of a machine that died may have to wait; nothing is lost"
        )
        yield Text(what, style="yellow")


def _losing(status: PipelineStatus) -> Iterator[Text]:
    """Format that the server may delete what it has accepted."""
    if status.memory is not None and status.memory.loses:
        yield Text(EVICTS, style="bold red")


def _memories(status: PipelineStatus) -> Iterator[Text]:
    """Format how many keys stages hold, and how many were evicted."""
    for stage in status.stages:
        found = stage.remembers
        if found is not None and (found.keys or found.evicted):
            gone = f", {found.evicted:,} forgotten to make room" if found.evicted else ""
            is_near = found.keys > 0.9 * found.max_keys and not found.evicted
            what = f"{stage.name} remembers {counted(found.keys, 'key')} of at most {found.max_keys:,}{gone}"
            yield Text(on_one_line(what), style="bold yellow" if is_near else "")


def _windows(status: PipelineStatus) -> Iterator[Text]:
    """Format what waits in windows or for the end of all input, and each stage's watermark."""
    for stage in status.stages:
        found = stage.windows
        if found is None or not (found.open or found.watermark):
            continue
        groups = counted(found.groups, "group")
        if found.watermark is None or found.behind_seconds is None:
            yield Text(on_one_line(f"{stage.name} holds {groups} until all input has ended"))
            continue
        windows = counted(found.open, "window")
        what = f"{stage.name} has {windows} open with {groups}; its time has come to {found.watermark}"
        behind = max(0.0, found.behind_seconds)
        yield Text(on_one_line(f"{what}, {age(behind)} behind"))


def _pauses(status: PipelineStatus, spec: str) -> Iterator[Text]:
    """Format which stages pause or use an old table, why and since when, and which wait for their `rate`."""
    for stage in status.stages:
        if stage.paused is not None:
            until, mend = "", ""
            if stage.paused.held:
                until, mend = " until it is resumed", f"; rsq-pipe resume {spec} {stage.name}"
            what = f"{stage.name} paused for {age(stage.paused.seconds)}{until}: {stage.paused.why}{mend}"
            yield Text(on_one_line(what), style="bold yellow")
        if stage.waits_for:
            who = ", ".join(stage.waits_for)
            has = "has" if len(stage.waits_for) == 1 else "have"
            what = f"{stage.name} waits for {who}, which {has} `max_backlog` records before it"
            yield Text(on_one_line(what), style="yellow")
        if stage.limited is not None:
            yield Text(on_one_line(f"{stage.name} limited by `rate: {stage.limited.rate}`"), style="yellow")
        if stage.stale is not None:
            yield Text(
                on_one_line(
                    f"{stage.name} works with an old table for {age(stage.stale.seconds)}: {stage.stale.why}"
                ),
                style="bold yellow",
            )


def _awaited(status: PipelineStatus, spec: str) -> Iterator[Text]:
    """Name the sources that a run still waits for after it has read its own."""
    if status.awaits:
        names, read = ", ".join(status.awaits), " ".join(f"--stage {name}" for name in status.awaits)
        what = (
            f"other sources have ended; their run waits for these to end as well, wherever they run: {names}"
            f"; if none runs, start it with `rsq-pipe run {spec} {read}`"
        )
        yield Text(on_one_line(what), style="yellow")


def _left(status: PipelineStatus) -> Iterator[Text]:
    """Format what becomes of records whose consumers are gone."""
    for stage in status.stages:
        if stage.gone:
            who = "1 consumer is" if stage.gone == 1 else f"{stage.gone:,} consumers are"
            fate = "others take them over after `reclaim: idle`, the next run on that machine at once"
            what = f"{stage.name}: {who} gone and left records in flight; {fate}"
            yield Text(on_one_line(what), style="yellow")


def _changes(status: PipelineStatus) -> Iterator[Text]:
    """Format what a run of a changed file would do, and what removed stages still hold."""
    if status.plan:
        yield Text(printable(status.plan), style="yellow")


def cells(stage: StageStatus) -> list[Text]:
    """Format the numbers of a stage, one for each of `COLUMNS`."""
    rate = "-" if stage.rate is None else format_rate(stage.rate)
    done = Text(f"{stage.done:,}")
    if stage.verb == "source" and stage.state == "ok":  # it reads no stream, so nothing of it can wait
        return [*(Text("") for _ in range(4)), _number(stage.dead, "bold red"), Text(""), Text(rate), done]
    lag = "unknown" if stage.lag is None else f"{stage.lag:,}"
    return [
        Text(stage.state, style="bold red") if stage.state == "lost" else Text(lag),
        _number(stage.pending),
        Text("" if stage.oldest_seconds is None else age(stage.oldest_seconds)),
        _number(stage.retry, "yellow"),
        _number(stage.dead, "bold red"),
        _consumers(stage),
        Text(rate),
        done,
    ]


def _consumers(stage: StageStatus) -> Text:
    text = Text(str(stage.alive))
    if stage.gone:
        text.append(f", {stage.gone} gone", style="yellow")
    return text


def _number(value: int, style: str = "") -> Text:
    return Text(f"{value:,}", style=style if value else "dim")
