"""In an editor: pipeline files and test files are completed, explained and checked by their schemas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.language_server import LanguageServer, command

ROOT = Path(__file__).parents[2]
PIPELINE = """\
version: 1
pipeline: shop
stages:
  read:
    source: {type: jsonl, path: in.jsonl}
  price:
    map: {total: price * 2}
    retry:
      .
  write:
    .
""".replace(".\n", "\n")
TESTS = """\
tests:
  priced:
    stage: price
    given: [{price: 1}]
    .
""".replace(".\n", "\n")


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[LanguageServer]:
    schemas = {
        (ROOT / "docs/schema/pipeline.schema.json").as_uri(): "pipeline.yaml",
        (ROOT / "docs/schema/pipeline_test.schema.json").as_uri(): "*_test.yaml",
    }
    with LanguageServer(command(), tmp_path, schemas) as server:
        yield server


def write(tmp_path: Path, text: str, name: str = "pipeline.yaml") -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


def test_verbs_and_their_settings_are_completed(editor: LanguageServer, tmp_path: Path) -> None:
    file = write(tmp_path, PIPELINE)
    editor.open(file)

    assert {"call", "map", "filter", "route", "aggregate", "sink", "from"} <= set(
        editor.complete(file, 11, 5)
    )
    assert {"attempts", "backoff"} <= set(editor.complete(file, 9, 7))


def test_types_of_sinks_are_completed(editor: LanguageServer, tmp_path: Path) -> None:
    file = write(tmp_path, PIPELINE.rstrip() + "\n    sink:\n      type: \n")
    editor.open(file)

    assert {"jsonl", "csv", "postgres"} <= {label.strip('"') for label in editor.complete(file, 12, 13)}


def test_a_setting_is_explained(editor: LanguageServer, tmp_path: Path) -> None:
    file = write(tmp_path, PIPELINE)
    editor.open(file)

    assert "dead letter" in editor.hover(file, 8, 6) or "again" in editor.hover(file, 8, 6)


def test_mistakes_are_shown_where_they_are(editor: LanguageServer, tmp_path: Path) -> None:
    wrong = PIPELINE.replace("    retry:\n      \n", "    retri: {attempts: 3}\n")

    found = editor.open(write(tmp_path, wrong))

    assert "8: Property retri is not allowed." in found, found


def test_what_is_right_is_not_complained_of(editor: LanguageServer) -> None:
    for file in (*ROOT.glob("pipelines/*.yaml"), *ROOT.glob("examples/*/pipeline*.yaml")):
        assert editor.open(file) == [], file


def test_tests_are_completed_and_checked(editor: LanguageServer, tmp_path: Path) -> None:
    file = write(tmp_path, TESTS, "pipeline_test.yaml")
    found = editor.open(file)

    assert {"expect", "mocks", "match", "now"} <= set(editor.complete(file, 5, 5))
    assert found == []
    assert "1: " not in editor.open(write(tmp_path, TESTS.replace("stage:", "stag:"), "other_test.yaml"))[0]
