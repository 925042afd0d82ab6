"""Preview text: a stage's results for its records, formatted for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from rsq_pipe.cli.diagram.model import streams
from rsq_pipe.cli.output.difference import Change, differences, spelled
from rsq_pipe.cli.output.printable import escaped, printable
from rsq_pipe.spec.graph import ConnectorRef, HandlerRef, Stage
from rsq_pipe.testing.preview.passage import Made, Passage, PassageOutcome, StagePreview
from rsq_pipe.units import counted

_STYLES = {"added": "green", "changed": "yellow", "removed": "red"}
_MARKS = {"added": "+", "changed": "~", "removed": "-"}
_COUNTED: tuple[tuple[PassageOutcome, str], ...] = (
    ("failed", "failed"),
    ("dropped", "dropped"),
    ("stored", "stored"),
    ("written", "to write"),
)


def heading(found: StagePreview) -> Text:
    """Format a stage's heading: its name, and counts of its outcomes."""
    stage = found.stage
    text = Text.assemble((printable(stage.name), "bold"), f"  {_line(printable(described(stage)))}  ")
    outcomes = Counter(passage.outcome for passage in found.passages)
    out = sum(len(passage.made) for passage in found.passages) + len(found.left)
    parts = [] if stage.verb == "source" else [counted(len(found.passages), "record")]
    parts += [f"{out:,} out"] if stage.outputs else []
    parts += [f"{outcomes[outcome]:,} {word}" for outcome, word in _COUNTED if outcomes[outcome]]
    text.append(", ".join(parts), style="bold red" if outcomes["failed"] else "")
    if found.note:
        text.append(f"\n  ! {_line(printable(found.note))}", style="yellow")
    return text


def lines(found: StagePreview) -> Iterator[Text]:
    """Format the records, each with its outcomes."""
    for passage in found.passages:
        yield from _passage(passage, source=found.stage.verb == "source")
    if found.left:
        yield Text("  when all input has ended:", style="dim")
        for made in found.left:
            yield Text.assemble(("  + ", "green"), f"{_named(made)}  {_value(made.record)}")


def described(stage: Stage) -> str:
    """Describe a stage in a word or two."""
    if isinstance(stage.options, ConnectorRef):
        path = getattr(stage.options.options, "path", "")
        shown = path if isinstance(path, str) else ", ".join(path)
        return f"{stage.verb} {stage.options.type} {shown}".rstrip()
    if stage.verb == "pass":
        return streams(stage)
    return f"call {stage.options.text}" if isinstance(stage.options, HandlerRef) else stage.verb


def _passage(passage: Passage, *, source: bool) -> Iterator[Text]:
    rid, before = _line(escaped(passage.rid)), passage.before
    if before is None:
        raw = escaped(passage.raw.decode(errors="backslashreplace").rstrip())
        yield Text.assemble(("  x ", "bold red"), f"{rid}  ", (_line(printable(passage.why)), "red"))
        yield Text(f"      {_line(raw)}", style="dim")
        return
    if source:
        yield Text(f"    {rid}  {_value(before)}")
        return
    match passage.outcome:
        case "failed":
            yield Text.assemble(("  x ", "bold red"), f"{rid}  ", (_line(printable(passage.why)), "red"))
            yield _before(before)
        case "dropped":
            why = f"dropped: {_line(printable(passage.why))}"
            yield Text.assemble(("  - ", "red"), f"{rid}  ", (why, "yellow"))
            yield _before(before)
        case "stored" | "written":
            mark = ">" if passage.outcome == "written" else "."
            kept = passage.made[0].record if passage.made else before
            yield Text.assemble((f"  {mark} ", "cyan"), f"{rid}  {_value(kept)}")
        case _:
            yield from _emitted(before, passage.made)


def _emitted(before: dict[str, Any], made: Sequence[Made]) -> Iterator[Text]:
    for number, one in enumerate(made):
        changes = list(differences(before, one.record))
        if not changes:
            yield Text(f"  = {_named(one)}")
            continue
        yield Text.assemble(("  ~ ", "yellow"), _named(one))
        if not number:
            yield _before(before)
        for change in changes:
            yield _changed(change)


def _changed(change: Change) -> Text:
    style = _STYLES[change.kind]
    text = Text(f"    {_MARKS[change.kind]} {_line(escaped(change.path))}: ", style=style)
    match change.kind:
        case "added":
            text.append(_value(change.after))
        case "removed":
            text.append(_value(change.before))
        case _:
            text.append(f"{_value(change.before)} -> {_value(change.after)}")
    return text


def _before(record: dict[str, Any]) -> Text:
    return Text(f"      {_value(record)}", style="dim")


def _named(made: Made) -> str:
    rid = _line(escaped(made.rid))
    return f"{rid} -> {printable(made.port)}" if made.port else rid


def _value(value: Any) -> str:
    # The record belongs to the user and stays whole; unprintable characters are escaped.
    return _line(escaped(spelled(value)))


def _line(text: str) -> str:
    return text.replace("\n", "\\n")
