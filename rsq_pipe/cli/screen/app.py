"""The app of `rsq-pipe top`: its first screen, its colours, its keys."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from rsq_pipe.cli.screen.stages import StagesScreen
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient


class Top(App[None]):
    """
    Show one pipeline until told to quit.

    Args:
        graph: The pipeline.
        client: Its server.
        every: Seconds between two looks.
    """

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "quit")]
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
