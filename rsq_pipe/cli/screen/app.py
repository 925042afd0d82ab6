"""The app of `rsq-pipe top`, its colours and keys, and its first screen: all stages, live."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from rsq_pipe.cli.output.printable import on_one_line, printable
from rsq_pipe.cli.output.status_table import COLUMNS, cells, headline, remarks, warnings
from rsq_pipe.cli.output.table import named
from rsq_pipe.cli.screen.dead_letters import DeadLettersScreen
from rsq_pipe.errors import NeverRanError, RsqPipeError
from rsq_pipe.ops.audit import by_operator, note
from rsq_pipe.ops.bounds import Bounds
from rsq_pipe.ops.hold import pause, resume
from rsq_pipe.ops.status import PipelineStatus, read_status
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.units import age

LOOKS = 30
"""Maximum number of rates of a stage shown next to each other."""

BY_HAND = "by hand, in top"
_BLOCKS = "▁▂▃▄▅▆▇█"


class Top(App[None]):
    """
    Show one pipeline until told to quit.

    Args:
        graph: The pipeline.
        client: Its server.
        every: Seconds between two looks.
    """

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),  # in a question, too; the library's is Ctrl-Q
    ]
    CSS = """
    #head { padding: 0 1; background: $panel; }
    #remarks { max-height: 40%; height: auto; padding: 0 1; }
    DataTable { height: 1fr; }
    Confirm { align: center middle; }
    #question { width: 70; max-width: 90%; height: auto; padding: 1 2; }
    #question { border: round $warning; background: $surface; }
    """

    def __init__(self, graph: Graph, client: StreamClient, every: float) -> None:
        super().__init__()
        self._first = StagesScreen(graph, client, every)

    def on_mount(self) -> None:
        """Show the stages."""
        self.push_screen(self._first)


class StagesScreen(Screen[None]):
    """
    Show every stage: what waits, what failed, and its speed now and before.

    Args:
        graph: The pipeline.
        client: Its server.
        every: Seconds between two looks.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        # The table handles Enter itself, and the footer does not show it.
        Binding("d", "letters", "dead letters", key_display="enter"),
        Binding("p", "pause", "pause stage"),
        Binding("r", "resume", "resume stage"),
    ]

    def __init__(self, graph: Graph, client: StreamClient, every: float) -> None:
        super().__init__()
        self._graph = graph
        self._client = client
        self._every = every
        # Kept here: a look that ends while the screen is closed must still find them.
        self._headline = Static("looking ...", id="head")
        self._table = DataTable[Text](cursor_type="row")
        self._notes = Static()
        self._rates = {stage.name: deque[float](maxlen=LOOKS) for stage in graph.stages}

    def compose(self) -> ComposeResult:
        """Compose the headline, the table and the remarks below it."""
        yield self._headline
        yield self._table
        with VerticalScroll(id="remarks"):
            yield self._notes
        yield Footer()

    def on_mount(self) -> None:
        """Set up the columns and stages, and begin to look."""
        table = self._table
        for column in ("stage", *COLUMNS[:-1], f"last {LOOKS} looks", COLUMNS[-1]):
            table.add_column(column, key=column)
        for stage in self._graph.stages:
            table.add_row(Text(stage.name), *(Text("") for _ in range(len(COLUMNS) + 1)), key=stage.name)
        table.focus()
        self.run_worker(self._watch())

    async def _watch(self) -> None:
        """Look again and again; report an unavailable server, and keep trying."""
        before: PipelineStatus | None = None
        began = looked = time.monotonic()  # when it looked last without an error
        while True:
            try:
                seen = await read_status(self._client, self._graph)
            except RsqPipeError as exc:
                ago = age(time.monotonic() - looked)
                old = f"; what is shown is from {ago} ago" if looked > began else ""
                self._head(Text(f"{printable(str(exc))}{old}", style="bold red"))
            else:
                looked = time.monotonic()
                self._show(seen if before is None else seen.since(before))
                before = seen
            await asyncio.sleep(self._every)

    def _show(self, status: PipelineStatus) -> None:
        if not status.ran:
            self._head(Text(on_one_line(str(NeverRanError(status.pipeline, status.server)))))
            return
        self._head(Text(on_one_line(headline(status)), style="bold"))
        for stage in status.stages:
            rates = self._rates[stage.name]
            if stage.rate is not None:
                rates.append(stage.rate)
            mark = Text(" paused", style="bold yellow") if stage.paused else Text("")
            row = dict(zip(COLUMNS, cells(stage), strict=True))
            row["stage"] = Text(named(stage.name, stage.fused)).append(mark)
            row[f"last {LOOKS} looks"] = Text(sparkline(list(rates), LOOKS), style="green")
            for column, cell in row.items():
                if column in COLUMNS:
                    cell.justify = "right"
                self._table.update_cell(stage.name, column, cell, update_width=True)
        found = Bounds().breaches(status)
        self._notes.update(Text("\n").join([*warnings(found), *remarks(status, self._graph.spec)]))

    def on_data_table_row_selected(self) -> None:
        """Treat Enter as `d`."""
        self.action_letters()

    def action_letters(self) -> None:
        """Show the dead letters of the stage under the cursor."""
        self.app.push_screen(DeadLettersScreen(self._graph, self._client, self._chosen))

    async def action_pause(self) -> None:
        """Pause the stage under the cursor."""
        await self._hold(pausing=True)

    async def action_resume(self) -> None:
        """Resume the stage under the cursor."""
        await self._hold(pausing=False)

    async def _hold(self, *, pausing: bool) -> None:
        stage = self._chosen
        try:
            if pausing:
                before = await pause(self._client, self._graph, stage, BY_HAND)
                if before is None:
                    await note(self._client, self._graph.pipeline, **by_operator("pause", stage), why=BY_HAND)
                outcome = (
                    "is paused; r has it go on" if before is None else f"was paused before: {before.why}"
                )
            else:
                found = await resume(self._client, self._graph, stage)
                if found is not None:
                    await note(
                        self._client, self._graph.pipeline, **by_operator("resume", stage), why=found[0].why
                    )
                outcome = "was not paused by hand, nor for its dead letters" if found is None else "goes on"
        except RsqPipeError as exc:
            self.notify(printable(str(exc)), severity="error", markup=False)
        else:
            self.notify(on_one_line(f"{stage} {outcome}"), markup=False)

    @property
    def _chosen(self) -> str:
        return self._graph.stages[self._table.cursor_row].name

    def _head(self, text: Text) -> None:
        self._headline.update(text)


def sparkline(values: Sequence[float], width: int) -> str:
    """
    Draw the last `width` numbers as blocks, scaled to the highest.

    Zero leaves a gap, so that a stage that does nothing looks different from one that does little.
    """
    shown = values[-width:]
    most = max(shown, default=0.0)
    blocks = (_block(value / most) if value > 0 else " " for value in shown)
    return "".join(blocks).rjust(width)


def _block(share: float) -> str:
    return _BLOCKS[min(len(_BLOCKS) - 1, int(share * len(_BLOCKS)))]
