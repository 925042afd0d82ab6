"""Keys as patterns of an access list: one word each, that fits the key alone."""

from __future__ import annotations

import pytest

from rsq_pipe.ops.acl import pattern


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
