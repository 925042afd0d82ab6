"""Case: one test of a test file, its names resolved to stages and streams of its pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from rsq_pipe.spec.document import Document, Path_, Place
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from rsq_pipe.testing.cases.models import Test


class Case(Struct, frozen=True):
    """
    Hold one test.

    Args:
        name: A description of what is tested.
        test: The test as written.
        graph: The pipeline, with mocks in place.
        stages: Those that handle records, in their order.
        given: Stream -> the records in it at the beginning.
        expected: Key of `expect` -> the stream or sink that it means.
        ends: The streams or sinks that a test without `expect` would check.
        now: Seconds since 1970; None for the real time.
        document: The test file.
    """

    name: str
    test: Test
    graph: Graph
    stages: Sequence[Stage]
    given: Mapping[StreamRef, Sequence[dict[str, Any]]]
    expected: Mapping[str, StreamRef | str]
    ends: Mapping[str, StreamRef | str]
    now: float | None
    document: Document

    @property
    def path(self) -> Path_:
        """Its path in its file."""
        return ("tests", self.name)

    @property
    def place(self) -> Place:
        """The place of its name."""
        return self.document.keys[self.path]

    @property
    def is_of_one_stage(self) -> bool:
        """Whether one stage is tested, so that all results of its records count."""
        return bool(self.test.stage)

    @property
    def is_partial(self) -> bool:
        """Whether fields and results that are not named may vary."""
        return self.test.match == "partial"


class CaseFile(Struct, frozen=True):
    """
    Hold the tests of one file.

    Args:
        path: The file.
        graph: The pipeline that it tests.
        cases: Its tests, in order.
    """

    path: Path
    graph: Graph
    cases: Sequence[Case]


class Dead(Struct):
    """Hold one dead letter of a test."""

    stage: str
    error: str
    reason: str
    record: dict[str, Any]


class Happened(Struct):
    """
    Hold the results for the records of a test.

    Args:
        streams: Stream -> the records written to it; sink -> those that it would have written.
        dead: The dead letters.
        dropped: Reason -> how many records ended there.
        stopped: Why the run stopped; empty if it did not.
        notes: Results that could not be determined.
    """

    streams: dict[StreamRef | str, list[dict[str, Any]]] = field(default_factory=dict)
    dead: list[Dead] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    stopped: str = ""
    notes: list[str] = field(default_factory=list)
