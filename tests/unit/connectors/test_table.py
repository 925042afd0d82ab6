"""Connectors are found by type: ours in a table, others as entry points."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.connectors.table import LISTED, Kind, connector, types

THIRD_PARTY = """
from pydantic import BaseModel

class Options(BaseModel):
    topic: str

def connect(options, *, stage, root):
    return (options.topic, stage, root)
"""


def install(folder: Path, name: str, code: str, group: str = "rsq_pipe.sources") -> None:
    """Put a distribution with one connector where Python finds installed ones."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {name}\n")


def test_the_types_are_those_of_the_table() -> None:
    assert {"jsonl", "csv", "stream"} <= set(types("source"))
    assert "stream" in types("sink")
    assert "stdout" not in types("source")


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in LISTED for name in LISTED[kind]])
def test_each_of_the_table_has_options_and_says_what_it_promises(kind: Kind, name: str) -> None:
    assert connector(kind, name).options.model_fields
    assert LISTED[kind][name].promise


@pytest.mark.parametrize("kind", ["source", "sink"])
def test_stream_is_a_type_the_runner_does_itself(kind: str) -> None:
    found = connector(kind, "stream")

    assert found.connect is None
    assert next(iter(found.options.model_fields)) == "stream"


def test_a_connector_has_options_and_connects(tmp_path: Path) -> None:
    found = connector("source", "jsonl")
    assert found.connect is not None

    source = found.connect(found.options(path="a.jsonl"), stage="read", root=tmp_path)

    assert source.resumable


@pytest.mark.parametrize("name", ["nothing", "source", "", "os.path", "../jsonl", "__init__"])
def test_an_unknown_type_is_a_lookup_error(name: str) -> None:
    with pytest.raises(LookupError, match="there is no source of type"):
        connector("source", name)


def test_an_installed_package_adds_a_connector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "rsq_test_mqtt", THIRD_PARTY)
    monkeypatch.syspath_prepend(tmp_path)

    found = connector("source", "rsq_test_mqtt")

    assert found.connect is not None
    assert found.connect(found.options(topic="t"), stage="s", root=tmp_path) == ("t", "s", tmp_path)


def test_an_installed_connector_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "rsq_test_broken", "raise RuntimeError('no driver')")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(LookupError, match="fails when imported: no driver"):
        connector("source", "rsq_test_broken")
