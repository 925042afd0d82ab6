"""Reading: turns a test file into its cases, or into a list of all its mistakes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from rsq_pipe.errors import SpecValidationError
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.spec.reading import read_document
from rsq_pipe.spec.validation import describe, validate
from rsq_pipe.testing.cases.case import Case, CaseFile
from rsq_pipe.testing.cases.mocks import mocked
from rsq_pipe.testing.cases.models import Test, TestFile
from rsq_pipe.testing.cases.wiring import Wired

SUFFIXES = ("_test.yaml", "_test.yml")
_SKIPPED = frozenset(("node_modules", "__pycache__"))
_DAY = 86_400.0


def test_files(folder: Path) -> Iterator[Path]:
    """Find the test files in a folder and below, except in hidden folders and environments."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            if not _is_skipped(entry):
                yield from test_files(entry)
        elif entry.name.endswith(SUFFIXES):
            yield entry


def _is_skipped(folder: Path) -> bool:
    is_foreign = folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()
    return is_foreign or folder.name.startswith(".") or folder.is_symlink()


test_files.__test__ = False  # type: ignore[attr-defined]


def tests_of(spec: Path) -> Path:
    """Return the test file of a pipeline file."""
    return spec.with_name(f"{spec.stem}_test{spec.suffix}")


tests_of.__test__ = False  # type: ignore[attr-defined]


def read_cases(path: Path) -> CaseFile:
    """
    Read a test file and the pipeline that it tests.

    Raises:
        SpecSyntaxError: Either cannot be read, or is not YAML.
        SpecValidationError: All other mistakes of either.
    """
    document = read_document(path, None, "tests:")
    if not isinstance(document.value, dict):
        document.report(
            (), f"a test file holds a mapping, not {describe(document.value)}", "start with `tests:`"
        )
        raise SpecValidationError(document.problems)
    validate(document, TestFile, document.value, ())
    spec = _spec(document, path)
    graph = load(spec, connect=False) if spec else None
    if graph is None:
        raise SpecValidationError(document.problems)
    # A malformed test does not hide the mistakes of the others.
    cases = [
        case
        for name, test in _well_formed(document)
        if (case := _case(document, graph, path, name, test)) is not None
    ]
    if document.problems:
        raise SpecValidationError(document.problems)
    return CaseFile(path, graph, cases)


def _well_formed(document: Document) -> Iterator[tuple[str, Test]]:
    tests = document.value.get("tests")
    for name, value in tests.items() if isinstance(tests, dict) else ():
        if not document.failed(("tests", name)):
            yield name, Test.model_validate_json(json.dumps(value))


def _spec(document: Document, path: Path) -> Path | None:
    named = document.value.get("pipeline")
    if isinstance(named, str) and named:
        spec = path.parent / named
        if not spec.is_file():
            document.report(("pipeline",), f"there is no file {named!r}", "it is found from the test file")
            return None
        return spec
    stem = next(
        path.name.removesuffix(suffix) for suffix in (*SUFFIXES, path.suffix) if path.name.endswith(suffix)
    )
    for suffix in (path.suffix, ".yaml", ".yml"):
        spec = path.with_name(stem + suffix)
        if spec.is_file() and spec != path:
            return spec
    what = f"it tests {stem}{path.suffix} in the same folder, which does not exist"
    document.report((), what, "name the pipeline: `pipeline: FILE`", key=True)
    return None


def _case(document: Document, graph: Graph, file: Path, name: str, test: Test) -> Case | None:
    path: Path_ = ("tests", name)
    graph = mocked(document, graph, file, test, (*path, "mocks"))
    wired = Wired(document, graph, file, test, path)
    now = _moment(document, test.now, (*path, "now"))
    if document.failed(path):
        return None
    expected = wired.expected()
    given = wired.given()
    if document.failed(path):
        return None
    return Case(name, test, graph, wired.stages, given, expected, wired.ends(), now, document)


def _moment(document: Document, text: str, path: Path_) -> float | None:
    if not text:
        return None
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if 1_000_000_000 <= seconds < time.time() + _DAY:
            return seconds
        document.report(path, f"{text} lies before 2001, or ahead of now", "choose a moment of the past")
        return None
    document.report(path, f"{text!r} is not a moment", "write 2026-03-01T09:30:00Z")
    return None
