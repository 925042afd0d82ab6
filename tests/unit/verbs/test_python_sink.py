"""sink `python`: what its function may return, in the words of a sink."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure
from rsq_pipe.spec.loader import load
from rsq_pipe.verbs.python_sink import python_sink
from tests.support.project import Project


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (
            "[None]",
            "returned 1 outcome for 2 records; return nothing, or a list with one for each, in order",
        ),
        ("'done'", "returned str; return nothing, or a list with an outcome for each record"),
    ],
)
@pytest.mark.parametrize("word", ["def", "async def"])
async def test_what_it_may_not_return_is_told_in_the_words_of_a_sink(
    tmp_path: Path, returned: str, told: str, word: str
) -> None:
    project = Project(tmp_path / "project", "shop")
    project.handlers(f"{word} store(records, rids):\n    return {returned}\n")
    project.spec(
        """
        read: {source: {type: jsonl, path: in.jsonl}}
        out: {sink: {type: python, call: "handlers:store"}}
        """
    )
    graph = load(project.path)
    verb = python_sink(graph.stage("out"), root=graph.root, pipeline="shop", form=None)
    await verb.open()

    found = await verb.process(Batch([{"n": 1}, {"n": 2}], ["read:1", "read:2"]))

    await verb.close()
    assert len(found.failed) == 2
    for failed in found.failed.values():
        assert isinstance(failed, Failure)
        assert f"stage 'out': function 'handlers:store' {told}" in str(failed.error)
        assert "handler" not in str(failed.error).replace("handlers:store", "")
