"""Which settings of a whole pipeline changed, between two texts of its file."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.changes.settings import setting_changes

FILE = """
version: 1
pipeline: shop
keep: 1h
redis: {url: "redis://pipe:hunter2@db:6379"}
defaults:
  batch: {size: 100}
  retry: {attempts: 3}
stages:
  read: {source: {type: jsonl, path: in.jsonl}}
  out: {sink: {type: jsonl, path: out.jsonl}}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("keep: 1h", "keep: 2h", ["keep is 2h instead of 1h"]),
        ("keep: 1h", "", ["keep is not set any more, and was 1h"]),
        ("keep: 1h", "keep: 1h\nmax_backlog: 500", ["max_backlog is 500, and was not set"]),
        ("size: 100", "size: 200", ["defaults.batch.size is 200 instead of 100"]),
        ("size: 100", 'size: "${SIZE:-200}"', ["defaults.batch.size is ${SIZE:-200} instead of 100"]),
        ("type: jsonl, path: in", "type: jsonl, path: other", []),
        ("version: 1", "version: 1\ndescription: our shop", []),
        ("keep: 1h", "keep: [", []),
    ],
)
def test_a_setting_is_named_with_its_old_and_new_value(old: str, new: str, said: list[str]) -> None:
    assert [str(change) for change in setting_changes(FILE, FILE.replace(old, new))] == said


def test_nothing_is_said_of_a_file_that_is_not_kept() -> None:
    assert setting_changes("", FILE) == ()


def test_no_password_is_shown() -> None:
    for other in ("redis://pipe:${secret:PASSWORD}@db:6379", "redis://pipe:other@db:6379", "redis://db:1"):
        found = str(setting_changes(FILE, FILE.replace("redis://pipe:hunter2@db:6379", other)))
        assert "hunter2" not in found
        assert "other" not in found
