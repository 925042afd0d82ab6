"""Keys as patterns of an access list: one word each, that fits the key alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.ops.acl import pattern, users
from rsq_pipe.spec.loader import load


@pytest.mark.parametrize(
    ("key", "spelt"),
    [
        ("orders-in", "orders-in"),
        ("in [1]*", r"in?\[1\]\*"),
        ("a\\b^c?", r"a\\b\^c\?"),
        ("two\nlines \"quoted\" 'words'", "two?lines??quoted???words?"),
        ("\x1b[2J", r"?\[2J"),
        ("\x9b\u2028", "?????"),  # the server compares bytes
        ("größe", "größe"),
    ],
)
def test_a_key_is_spelt_as_one_printable_word(key: str, spelt: str) -> None:
    assert pattern(key) == spelt


def test_who_runs_a_pipeline_may_read_the_keys_of_its_tables_and_not_write_them(tmp_path: Path) -> None:
    spec = tmp_path / "p.yaml"
    spec.write_text(
        "version: 1\npipeline: p\nstages:\n"
        '  a: {from: {stream: in}, lookup: {table: {redis: "c[1]:{id}:x"}, key: id, as: c}}\n'
        '  b: {lookup: {table: {redis: {key: "d:{id}", url: "redis://h"}}, key: id, as: d}}\n'
        "  c: {sink: {type: stream, stream: out}}\n"
    )

    run, operate = users(load(spec))

    assert r" ~in ~out %R~c\[1\]:*:x -@all " in run.rules
    assert "%R~" not in operate.rules
