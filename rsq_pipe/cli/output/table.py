"""Table: the tables of `run` and `status`, by stage; paragraphs if the screen is too narrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rsq_pipe.cli.output.printable import on_one_line
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.engine.summary import StageSummary, Summary
from rsq_pipe.model.counters import COUNTED
from rsq_pipe.spec.graph import Graph
from rsq_pipe.units import format_rate

_ENDLESS = 10_000
_NOTHING = ("", "-")


def named(stage: str, above: str | None) -> str:
    """Format a stage's name, with a mark if it runs in the worker of the stage above."""
    return f"{stage} (fused)" if above else stage


def summary_table(summary: Summary, above: Mapping[str, str]) -> Fitting:
    """Format the results of a run; `above` maps fused stages to the stage in whose worker they run."""
    columns = _columns(summary)
    waits = any(summary.waiting.values())
    rows = []
    for name, stage in summary.stages.items():
        rate = stage.records / summary.seconds if summary.seconds else 0.0
        waiting = [Text(f"{summary.waiting.get(name, 0):,}")] if waits else []
        head = Text(named(name, above.get(name)))
        rows.append((head, *_numbers(stage, columns), Text(format_rate(rate)), *waiting))
    return Fitting(("stage", *columns, "records/s", *(["waiting"] if waits else [])), rows)


def drop_lines(drops: Mapping[str, Mapping[str, int]]) -> list[Text]:
    """Format why records were dropped, one line per stage that dropped any."""
    return [
        Text(
            f"{stage} dropped: "
            + ", ".join(f"{count:,} {on_one_line(name)}" for name, count in names.items())
        )
        for stage, names in drops.items()
        if names
    ]


def unknown_lines(unknown: Mapping[str, Mapping[str, int]]) -> list[Text]:
    """Format which keys lookups did not find, one line per stage that missed any."""
    return [
        Text(
            f"{stage} found nothing for: "
            + ", ".join(f"{on_one_line(key)} ({count:,})" for key, count in keys.items())
        )
        for stage, keys in unknown.items()
        if keys
    ]


def progress_table(
    graph: Graph,
    summary: Summary,
    state: PipelineState | None,
    above: Mapping[str, str],
    read: Mapping[str, str] | None = None,
) -> Fitting:
    """Format the progress of a run, each stage's backlog, and how far sources are read."""
    columns = _columns(summary)
    rows = []
    for name, stage in summary.stages.items():
        waiting = (read or {}).get(name, "")
        if state is not None and graph.stage(name).verb != "source":
            waiting = f"{state.stages[name].backlog:,}"
        rows.append((Text(named(name, above.get(name))), *_numbers(stage, columns), Text(waiting)))
    return Fitting(("stage", *columns, "waiting"), rows)


def _columns(summary: Summary) -> tuple[str, ...]:
    """Name the columns; `stored` is shown only if a stage stores anything."""
    stores = any(stage.stored for stage in summary.stages.values())
    return COUNTED if stores else tuple(name for name in COUNTED if name != "stored")


def _numbers(stage: StageSummary, columns: Sequence[str]) -> list[Text]:
    # A record that is retried is `in` once, so that a line adds up: in = out + dropped + stored + dead.
    values = (stage.records, stage.emitted, stage.dropped, stage.stored, stage.retried, stage.dead)
    found = dict(zip(COUNTED, values, strict=True))
    return [Text(f"{found[name]:,}", style=_style(name, found[name])) for name in columns]


def _style(column: str, value: int) -> str:
    if not value:
        return "dim"
    return {"dead": "bold red", "retried": "yellow"}.get(column, "")


class Fitting(Struct, frozen=True):
    """
    Format rows once the width of the screen is known.

    Args:
        columns: The headings; the first names the row.
        rows: Cells, one for each column.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        # Empty columns are dropped first.
        for fitted in (self, self._without_empty()):
            table = fitted._table()
            if console.measure(table, options=options.update(width=_ENDLESS)).maximum <= options.max_width:
                yield table
                return
        # A table cut to the screen's width would show only the first digits of its numbers.
        for row in self.rows:
            yield Text(row[0].plain, style="bold")
            yield Padding(Columns(list(self._facts(row)), padding=(0, 3, 0, 0)), (0, 0, 0, 2))

    def _without_empty(self) -> Fitting:
        """Leave out the columns that are empty in every row."""
        held = [
            at
            for at in range(len(self.columns))
            if at == 0 or any(row[at].plain not in _NOTHING for row in self.rows)
        ]
        return Fitting([self.columns[at] for at in held], [[row[at] for at in held] for row in self.rows])

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(self.columns[0], no_wrap=True)
        for column in self.columns[1:]:
            table.add_column(column, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        return table

    def _facts(self, row: Sequence[Text]) -> Iterator[Text]:
        """Pair each cell with its column's name; leave out empty cells."""
        for name, cell in zip(self.columns[1:], row[1:], strict=True):
            if cell.plain not in _NOTHING:
                yield Text.assemble((f"{name} ", "dim"), cell)
