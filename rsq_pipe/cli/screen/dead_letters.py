"""The dead letters of one stage: a list, and each one whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Static

from rsq_pipe.cli.dlq.confirm import noted
from rsq_pipe.cli.output.console import how_many, moment
from rsq_pipe.cli.output.dead_letter_text import dead_letter_text
from rsq_pipe.cli.output.printable import on_one_line, printable
from rsq_pipe.errors import RsqPipeError
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.dead_letters import PAGE, DeadLetters, Page, find
from rsq_pipe.ops.dead_letters.edits import Edits
from rsq_pipe.ops.dead_letters.progress import Preview, Progress
from rsq_pipe.ops.dead_letters.replay import preview_replay, replay
from rsq_pipe.ops.dead_letters.selection import DeadLetterName, Selection
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient

_WIDEST = 100
"""Maximum characters of an error in the list; the letter itself has all of them."""


class DeadLettersScreen(Screen[None]):
    """
    List a stage's dead letters, oldest first; more are read as the cursor nears the end.

    Args:
        graph: The pipeline.
        client: Its server.
        stage: The stage whose dead letters they are.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "letter", "read it", key_display="enter"),
        Binding("r", "replay", "replay it"),
        Binding("a", "replay_all", "replay all"),
        Binding("escape", "app.pop_screen", "back"),
    ]

    def __init__(self, graph: Graph, client: StreamClient, stage: str) -> None:
        super().__init__()
        self._graph = graph
        self._client = client
        self._stage = stage
        self._headline = Static(f"{stage}: looking ...", id="head")
        self._table = DataTable[Text](cursor_type="row")
        self._shown: list[DeadLetter] = []
        self._found: DeadLetters | None = None
        self._pages: AsyncIterator[Page] | None = None
        self._reading = False

    def compose(self) -> ComposeResult:
        """Compose the headline and the list."""
        yield self._headline
        yield self._table
        yield Footer()

    def on_mount(self) -> None:
        """Read the first page."""
        self._table.add_columns("failed", "reason", "error", "record")
        self.run_worker(self._begin())

    async def _begin(self) -> None:
        """Read again from the beginning: letters may have come or gone."""
        self._table.clear()
        self._shown.clear()
        try:
            selection = Selection(stages=(self._stage,))
            self._found = await find(self._client, self._graph.pipeline, self._graph, selection)
            self._pages = self._found.pages()
            total = await self._found.total()
        except RsqPipeError as exc:
            self._head(Text(printable(str(exc)), style="bold red"))
            return
        self._head(Text(f"{self._stage}: {how_many(total)}", style="bold"))
        await self._more()

    async def _more(self) -> None:
        """Add a page to the list, if there is one."""
        if self._pages is None or self._reading:
            return
        self._reading = True
        try:
            page = await anext(self._pages, None)
        except RsqPipeError as exc:
            self._head(Text(printable(str(exc)), style="bold red"))
            return
        finally:
            self._reading = False
        for letter in page.letters if page else ():
            self._shown.append(letter)
            cells = (moment(letter.at), letter.reason or "-", letter.error[:_WIDEST], letter.rid)
            self._table.add_row(*(Text(on_one_line(cell)) for cell in cells))
        if page is None:
            self._pages = None

    async def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Read on before the cursor is at the end."""
        if event.cursor_row + PAGE // 2 > len(self._shown):
            await self._more()

    def on_data_table_row_selected(self) -> None:
        """Treat Enter as `d`."""
        self.action_letter()

    def action_letter(self) -> None:
        """Show the letter under the cursor."""
        if self._shown and self._found is not None:
            letter = self._shown[self._table.cursor_row]
            text = dead_letter_text(letter, self._found.payloads, self._graph.telemetry.ui)
            self.app.push_screen(DeadLetterScreen(text), self._answered)

    def _answered(self, wants_replay: bool | None) -> None:
        if wants_replay:
            self.action_replay()

    def action_replay(self) -> None:
        """Send the letter under the cursor back to its stage, if that is confirmed."""
        if self._shown:
            letter = self._shown[self._table.cursor_row]
            self.run_worker(self._replay(Selection(names=(DeadLetterName(letter.id, letter.stage),))))

    def action_replay_all(self) -> None:
        """Send all letters of the stage back, if that is confirmed."""
        self.run_worker(self._replay(Selection(stages=(self._stage,))))

    async def _replay(self, selection: Selection) -> None:
        try:
            found = await find(self._client, self._graph.pipeline, self._graph, selection)
            plan = await preview_replay(found, Edits())
            if not plan.count:
                self.notify("there is nothing to replay (any more)")
            elif await self.app.push_screen_wait(Confirm(_question(plan, self._stage))):
                progress = Progress()
                progress.notice = lambda: self._head(
                    Text(f"{self._stage}: {progress.total.removed:,} of {plan.count:,} replayed")
                )
                await noted(found, "replay", plan).around(partial(replay, found, Edits()), progress)
                self.notify(f"{how_many(progress.total.removed)} replayed")
        except RsqPipeError as exc:
            self.notify(printable(str(exc)), severity="error", markup=False)
        await self._begin()

    def _head(self, text: Text) -> None:
        self._headline.update(text)


def _question(plan: Preview, stage: str) -> str:
    left = "".join(f"\n{one.count:,} cannot go: {printable(one.why)}" for one in plan.left)
    return f"Replay {how_many(plan.count)} to stage {stage}?{left}"


class DeadLetterScreen(Screen[bool]):
    """
    Show one dead letter whole. Its result says whether to replay it.

    Args:
        text: The letter.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "dismiss(True)", "replay it"),
        Binding("escape", "dismiss(False)", "back"),
    ]

    def __init__(self, text: Text) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Show the text; the keys of a pager move it."""
        with VerticalScroll():
            yield Static(self._text)
        yield Footer()


class Confirm(ModalScreen[bool]):
    """
    Ask until answered: `y` for yes, `n` or Esc for no.

    Args:
        question: The question.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "yes"),
        Binding("n,escape", "dismiss(False)", "no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Show the question."""
        yield Static(Text.assemble(self._question, ("\n\ny yes   n no", "dim")), id="question")
