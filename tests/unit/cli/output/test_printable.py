"""What foreign text may do to a terminal: nothing."""

from __future__ import annotations

import json

import pytest

from rsq_pipe.cli.output.printable import escaped, json_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("größer 漢字", "größer 漢字"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\r\x08\x00\x7f", r"\r\x08\x00\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202edcba", r"abc\u202edcba"),
        ("tab\tseparated", r"tab\tseparated"),
        ("two\nlines\x1b", "two\nlines\\x1b"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_a_terminal_acts_on_is_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_json_line_is_printable_ascii_and_says_the_same() -> None:
    value = {"text": "\x1b\x7f\u202e\n漢\ud800"}

    line = json_line(value)

    assert line.isascii()
    assert line.rstrip("\n").isprintable()
    assert json.loads(line) == value
