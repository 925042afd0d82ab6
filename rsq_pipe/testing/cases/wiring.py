"""Wiring: the stages that a test covers, and the streams that its names mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.fusing import asks_server
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from rsq_pipe.suggestion import suggest
from rsq_pipe.testing.cases.mocks import lookups
from rsq_pipe.testing.cases.models import Test
from rsq_pipe.testing.preview.first_records import FORMATS, first_records, format_of

MOST = 100_000
"""Maximum number of records from a file in a test."""


class Wired:
    """
    Resolve the names in a test to parts of its pipeline, and report mistakes to its document.

    Args:
        document: The test file.
        graph: The pipeline.
        file: The test file.
        test: The test.
        path: Its path in the file.
    """

    def __init__(self, document: Document, graph: Graph, file: Path, test: Test, path: Path_) -> None:
        self._document = document
        self._graph = graph
        self._file = file
        self._test = test
        self._path = path
        self._names = [stage.name for stage in graph.stages]
        self.stages = self._stages()

    def _stages(self) -> tuple[Stage, ...]:
        """Find the stages that handle records; a source handles none."""
        test, graph = self._test, self._graph
        named = {"stage": test.stage, "from": test.from_, "to": test.to}
        known = [self._knows(name, (*self._path, key)) for key, name in named.items() if name]
        if not all(known):
            return ()
        if test.stage:
            found = {test.stage}
            if graph.stage(test.stage).verb == "source":
                what = f"stage {test.stage!r} is a source: it handles no records"
                self._document.report((*self._path, "stage"), what, "name a stage below it")
        else:
            every = {stage.name for stage in graph.stages}
            found = _below(graph, test.from_) if test.from_ else every
            found &= _above(graph, test.to) if test.to else every
            if not found:
                what = f"no record comes from stage {test.from_!r} to stage {test.to!r}"
                self._document.report((*self._path, "to"), what, "name a stage below the other")
        stages = tuple(stage for stage in graph.stages if stage.name in found and stage.verb != "source")
        self._refuse_servers(stages)
        return stages

    def _refuse_servers(self, stages: Iterable[Stage]) -> None:
        given = lookups(self._test)
        for stage in stages:
            if asks_server(stage) and stage.name not in given:
                what = f"stage {stage.name!r} asks a server, and a test asks none"
                fix = f"give its rows: `mocks: {{lookups: {{{stage.name}: {{KEY: {{...}}}}}}}}`"
                self._document.report(self._path, what, fix, key=True)

    def given(self) -> dict[StreamRef, list[dict[str, Any]]]:
        """Return the records that are in streams at the beginning."""
        given, path = self._test.given, (*self._path, "given")
        if isinstance(given, list) or (isinstance(given, dict) and isinstance(given.get("file"), str)):
            ref = self._entrance(path)
            return {} if ref is None else {ref: self._records(given, path)}
        known = self._inputs()
        found: dict[StreamRef, list[dict[str, Any]]] = {}
        for name, records in given.items():
            if name not in known:
                what = f"no records come from {name!r} here"
                self._document.report((*path, name), what, suggest(name, known), key=True)
                continue
            found[known[name]] = self._records(records, (*path, name))
        return found

    def _entrance(self, path: Path_) -> StreamRef | None:
        first = self._test.stage or self._test.from_
        if first:
            stage = self._graph.stage(first)
            refs = tuple(stage.outputs.values()) if stage.verb == "source" else stage.inputs
        else:
            refs = tuple(
                ref
                for stage in self._graph.stages
                if stage.verb == "source"
                for ref in stage.outputs.values()
            )
        if len(refs) == 1 or (refs and first and self._graph.stage(first).verb != "join"):
            return refs[0]  # any of several inputs will do, except for a stage that distinguishes them
        known = list(self._inputs())
        example = ", ".join(f"{name}: [...]" for name in known[:3])
        where = f"stage {first!r}" if first else f"pipeline {self._graph.pipeline!r}"
        what = f"records come to {where} from {' and '.join(map(repr, known)) or 'nowhere'}"
        self._document.report(path, what, f"say from where: `given: {{{example}}}`")
        return None

    def _inputs(self) -> dict[str, StreamRef]:
        """Name the streams in which records may be given: those from outside the tested stages."""
        own = {ref for stage in self.stages for ref in (*stage.outputs.values(), stage.dlq)}
        refs = [ref for stage in self.stages for ref in stage.inputs if ref not in own]
        return {_label(ref): ref for ref in refs}

    def _records(self, given: Any, path: Path_) -> list[dict[str, Any]]:
        if isinstance(given, list):
            return given
        file = self._file.parent / given["file"]
        where = (*path, "file")
        if format_of(file) is None:
            kinds = ", ".join(FORMATS)
            self._document.report(
                where, f"{given['file']!r} is read by its name", f"end it in one of {kinds}"
            )
            return []
        if not file.is_file():
            what = f"there is no file {given['file']!r}"
            self._document.report(where, what, "it is found from the test file")
            return []
        stage = next((one for one in self._graph.stages if one.verb == "source"), self._graph.stages[0])
        try:
            found = list(first_records(self._graph, stage, MOST, file))
        except RsqPipeError as exc:
            self._document.report(where, str(exc))
            return []
        for number, arrival in enumerate(found, 1):
            if arrival.data is None:
                self._document.report(where, f"record {number} cannot be read: {arrival.error}")
        return [arrival.data for arrival in found if arrival.data is not None]

    def expected(self) -> dict[str, StreamRef | str]:
        """Return the stream or sink of each key of `expect`."""
        expect = self._test.expect
        if expect is None:
            return {}
        known, found = self._outputs(), {}
        for name in expect.__pydantic_extra__:
            if name in known:
                found[name] = known[name]
            else:
                what = f"no records leave by {name!r} here"
                fix = suggest(name, [*_shown(known), *_OTHERS])
                self._document.report((*self._path, "expect", name), what, fix, key=True)
        return found

    def ends(self) -> dict[str, StreamRef | str]:
        """Name the outputs of the tested stages, which a test without `expect` checks."""
        if self._test.stage:
            return _of_one(self._graph.stage(self._test.stage))
        read = {ref for stage in self.stages for ref in stage.inputs}
        found: dict[str, StreamRef | str] = {}
        for stage in self.stages:
            if stage.verb == "sink":
                found[stage.name] = stage.name
            found |= {_label(ref): ref for ref in stage.outputs.values() if ref not in read}
        if self._test.to and len(found) == 1:
            return {"out": next(iter(found.values()))}
        return found

    def _outputs(self) -> dict[str, StreamRef | str]:
        """Name all outputs: by full name, and by the allowed short names."""
        found: dict[str, StreamRef | str] = {}
        for stage in self.stages:
            found |= {_label(ref): ref for ref in stage.outputs.values()}
            if "" in stage.outputs:
                found[stage.name] = stage.outputs[""]
            if stage.verb == "sink":
                found[stage.name] = stage.name
        last = self._test.stage or self._test.to
        if last:
            found |= _of_one(self._graph.stage(last))
        return found

    def _knows(self, name: str, path: Path_) -> bool:
        if name in self._names:
            return True
        what = f"pipeline {self._graph.pipeline!r} has no stage {name!r}"
        self._document.report(path, what, suggest(name, self._names))
        return False


_OTHERS = ("dlq", "dropped", "stopped")


def _shown(known: Mapping[str, object]) -> list[str]:
    """Name each output once, by its shortest name."""
    names: dict[object, str] = {}
    for name, ref in known.items():
        if len(name) <= len(names.get(ref, name)):
            names[ref] = name
    return list(names.values())


def _of_one(stage: Stage) -> dict[str, StreamRef | str]:
    if stage.verb == "sink":
        return {"out": stage.name}
    return {port or "out": ref for port, ref in stage.outputs.items()}


def _label(ref: StreamRef) -> str:
    """Format a stream's name as in `from`; dead letters are `STAGE.errors` there."""
    if ref.external:
        return ref.name
    return f"{ref.name.removesuffix(':dlq')}.errors" if ref.name.endswith(":dlq") else ref.name


def _below(graph: Graph, name: str) -> set[str]:
    def readers(stage: Stage) -> list[str]:
        refs = (*stage.outputs.values(), stage.dlq)
        return [reader.name for ref in refs for reader in graph.readers(ref)]

    return _reached(graph, name, readers)


def _above(graph: Graph, name: str) -> set[str]:
    def writers(stage: Stage) -> list[str]:
        read = set(stage.inputs)
        return [other.name for other in graph.stages if read & {*other.outputs.values(), other.dlq}]

    return _reached(graph, name, writers)


def _reached(graph: Graph, name: str, beside: Callable[[Stage], list[str]]) -> set[str]:
    """Name a stage and all that can be reached from it."""
    found, waiting = set(), [name]
    while waiting:
        stage = graph.stage(waiting.pop())
        if stage.name not in found:
            found.add(stage.name)
            waiting += beside(stage)
    return found
