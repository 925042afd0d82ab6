"""Fitting: rows as a table where the screen is wide enough for it, else as paragraphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_ENDLESS = 10_000


@dataclass(frozen=True, slots=True)
class Fitting:
    """
    Draw rows once the width of the screen is known.

    Args:
        columns: What the cells are; the first names the row.
        rows: Cells, one for each column.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        table = self._table()
        if console.measure(table, options=options.update(width=_ENDLESS)).maximum <= options.max_width:
            yield table
            return
        # A table cut down to the screen would show the first digits of its numbers.
        for row in self.rows:
            yield Text(row[0].plain, style="bold")
            yield Padding(Columns(list(self._facts(row)), padding=(0, 3, 0, 0)), (0, 0, 0, 2))

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(self.columns[0], no_wrap=True)
        for column in self.columns[1:]:
            table.add_column(column, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        return table

    def _facts(self, row: Sequence[Text]) -> Iterator[Text]:
        """Name each cell; what a row does not have is left out."""
        for name, cell in zip(self.columns[1:], row[1:], strict=True):
            if cell.plain not in ("", "-"):
                yield Text.assemble((f"{name} ", "dim"), cell)
