"""Files that a stage reads beside its records, a schema or a table, and that no sink may write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsq_pipe.errors import SinkError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import check, load
from rsq_pipe.spec.protected import check_target, why_taken

STAGES = """
version: 1
pipeline: p
stages:
  read: {source: {type: stream, stream: in}}
  check: {validate: {schema: order.json}}
  find: {lookup: {table: rates.csv, key: id, as: rate}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "rates.csv").write_text("id,rate\n1,2\n")
    schema(tmp_path, "integer")
    return tmp_path


def schema(root: Path, kind: str) -> None:
    (root / "order.json").write_text(json.dumps({"type": "object", "properties": {"id": {"type": kind}}}))


def written(root: Path, target: str) -> Path:
    path = root / "pipeline.yaml"
    path.write_text(f"{STAGES}  out: {{sink: {{type: jsonl, exists: replace, path: {target}}}}}\n")
    return path


def loaded(root: Path) -> Graph:
    return load(written(root, "out/all.jsonl"))


@pytest.mark.parametrize(("target", "stage"), [("order.json", "check"), ("x/../rates.csv", "find")])
def test_no_sink_writes_what_a_stage_reads_beside_its_records(root: Path, target: str, stage: str) -> None:
    (problem,) = check(written(root, target)).problems

    assert problem.what == f"stage 'out' writes a file that stage {stage!r} reads: {target}"
    assert why_taken(loaded(root), root / target) == f"stage {stage!r} reads it"


def test_nor_where_a_link_leads_there_by_then(root: Path) -> None:
    graph = loaded(root)
    check_target(graph, graph.stage("out"))
    (root / "out").mkdir()
    (root / "out" / "all.jsonl").symlink_to(root / "order.json")

    with pytest.raises(SinkError, match="stage 'check' reads it; write to another"):
        check_target(graph, graph.stage("out"))


def test_a_changed_schema_is_a_changed_pipeline(root: Path) -> None:
    before, again = loaded(root), loaded(root)
    schema(root, "string")
    after = loaded(root)

    assert before.spec_hash == again.spec_hash != after.spec_hash
    digests = [graph.stage("check").digests for graph in (before, after)]
    assert [key for key in digests[0] if digests[0][key] != digests[1][key]] == ["schema"]
