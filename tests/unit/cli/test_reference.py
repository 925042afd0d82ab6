"""The reference pages say what the commands do."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from msgspec import Struct

from rsq_pipe.cli import errors, pipelines
from rsq_pipe.cli.diagram.model import Edge, Node
from rsq_pipe.cli.reference import reference_page
from rsq_pipe.cli.running import run_report
from rsq_pipe.engine.summary import summarize
from rsq_pipe.ops.bounds import Breach
from rsq_pipe.ops.doctor.facts import LEVELS, Finding
from rsq_pipe.ops.pipelines import Listed
from rsq_pipe.ops.stage_status import StageStatus
from rsq_pipe.ops.status import PipelineStatus
from rsq_pipe.ops.trace.step import RecordTrace, Step
from tests.unit.engine.stages import graph, source, stage

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs/reference"
ORDERS = graph(source(), stage())


def test_the_committed_page_is_the_one_the_commands_give() -> None:
    assert (PAGES / "cli.md").read_text() == reference_page(), (
        "write it again: python -m rsq_pipe.cli.reference > docs/reference/cli.md"
    )


def test_every_exit_code_is_documented() -> None:
    rows = {
        int(code) for code in re.findall(r"^\| (\d+) \|", (PAGES / "exit-codes.md").read_text(), re.MULTILINE)
    }
    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}

    assert rows == codes | {130}


def test_every_key_of_json_is_documented() -> None:
    text = (PAGES / "json-output.md").read_text()
    of = {part.partition(" ")[0][1:]: named(part) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}
    summary = summarize(ORDERS, {}, {}, seconds=1, finished=True, dead_letters=0)
    end = run_report.document(ORDERS, summary, {})

    assert end.keys() | end["stages"][0].keys() <= of["run"]
    assert keys(PipelineStatus, StageStatus, Breach) <= of["status"]
    assert keys(Node, Edge) <= of["graph"]
    assert keys(Finding) <= of["doctor"]
    assert pipelines.document(Listed("orders")).keys() <= of["pipelines"]
    trace = RecordTrace("read:1", (Step("price", "read:1", "emitted"),)).document()
    assert trace.keys() | trace["steps"][0].keys() <= of["trace"]


def test_every_check_and_level_of_the_doctor_is_documented() -> None:
    files = (ROOT / "rsq_pipe/ops/doctor").glob("*.py")
    checks = {check for path in files for check in first_arguments(ast.parse(path.read_text()))}

    assert {"version", "rights", "persistence"} <= checks
    assert checks | set(LEVELS) <= named((PAGES / "json-output.md").read_text())


def keys(*documents: type[Struct]) -> set[str]:
    return {name for document in documents for name in document.__struct_fields__}


def named(text: str) -> set[str]:
    """Find the words in backquotes, without the list they stand in."""
    return {word.rpartition(".")[2].removesuffix("[]") for word in re.findall(r"`([^`]+)`", text)} | {
        word.partition("[")[0] for word in re.findall(r"`([^`]+)`", text)
    }


def first_arguments(tree: ast.Module) -> set[str]:
    """Find the checks that are judged: `Finding("version", ...)` or `Finding(*("version", ...), ...)`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
            first = node.args[0]
            if isinstance(first, ast.Starred) and isinstance(first.value, ast.Tuple):
                first = first.value.elts[0]
            if isinstance(first, ast.Constant):
                found.add(str(first.value))
    return found
