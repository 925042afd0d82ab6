"""NumberedParts: what the sinks of parts have in common: how far they have got, and what may come again."""

from __future__ import annotations

from typing import ClassVar, Literal

from rsq_pipe.connectors.objects.formats import Writing
from rsq_pipe.connectors.objects.part_series import PartSeries
from rsq_pipe.connectors.objects.progress import Progress
from rsq_pipe.connectors.objects.write_options import WriteOptions
from rsq_pipe.connectors.sink import Gather


class NumberedParts:
    """
    Know the progress of a sink of parts, and move it when a batch is acknowledged.

    Args:
        options: The sink's settings.
        writing: Encodes the parts.
        stage: The sink stage, for errors.
    """

    guarantee: ClassVar[Literal["exactly-once", "at-least-once"]] = "exactly-once"
    exclusive: ClassVar[bool] = True

    def __init__(self, options: WriteOptions, writing: Writing, *, stage: str) -> None:
        self._series = PartSeries(options, writing.content, stage=stage)
        self._writing = writing
        self._progress = Progress()
        self._known: frozenset[str] = frozenset()  # the ids of records that are in parts and may come again
        self._after: Progress | None = None  # the progress once the batch is acknowledged
        self.target = options.url
        self.gather: Gather = options.rotate.gather

    def stored(self) -> None:
        """Note that the batch is acknowledged: what is written next has the next number."""
        if self._after is not None:
            self._go_on(self._after)

    def _go_on(self, progress: Progress) -> None:
        self._progress, self._known = progress, progress.known()
        self._after = None
