"""Tables: what the log says of the files that lookups hold."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from rsq_pipe.engine.pauses.stale import Tables
from rsq_pipe.spec.loader import load
from rsq_pipe.verbs.lookup import FileLookup
from tests.support.project import Project

SPEC = """
    read: {source: {type: jsonl, path: in.jsonl}}
    enrich: {lookup: {table: names.csv, key: n, fields: [name]}}
    out: {sink: {type: stdout}}
"""


@pytest.mark.parametrize("is_open", [False, True])
async def test_the_first_reading_of_a_table_is_not_called_a_change(tmp_path: Path, *, is_open: bool) -> None:
    project = Project(tmp_path / "project", "shop")
    project.records([1])
    (project.root / "names.csv").write_text("n,name\n1,ada\n")
    graph = load(project.spec(SPEC))
    verb = FileLookup("enrich", graph.stage("enrich").options, project.root)
    client: Any = SimpleNamespace(channel=SimpleNamespace(execute=None))  # not asked, as no table is old
    link: Any = SimpleNamespace(stage=graph.stage("enrich"), verb=verb)
    tables = Tables(client, graph)
    tables.watch([link])

    with capture_logs() as told:
        if is_open:
            verb.held.open()
        await tables.publish()
        verb.held.open()
        await tables.publish()

    assert told == []
