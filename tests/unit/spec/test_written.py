"""Where a character of a text stands in a pipeline file, in every way that YAML writes a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.spec.document import Place
from rsq_pipe.spec.reading import read_document
from rsq_pipe.spec.written import place_in

WAYS = {
    "plain": "q: alpha beta gamma",
    "plain over lines": "q: alpha\n   beta\n\n     gamma # no",
    "single quotes": "q: 'alpha''s  beta gamma'",
    "double quotes": 'q: "alpha beta\n  gamma"',
    "block": "q: |\n  alpha\n    beta\n\n  gamma\n",
    "block without an end": "q: |-   # said here\n     alpha\n     beta gamma",
    "block with a number": "q: |2\n    alpha beta\n  gamma\n",
    "block that begins empty": "q: |\n\n\n  alpha beta gamma\n",
    "folded": "q: >-\n  alpha\n  beta\n\n  gamma\n",
    "deeper": "a:\n  - {b: 1, q: alpha beta gamma}",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("word", ["alpha", "beta", "gamma", "mma"])
def test_each_word_is_found_where_it_is_written(tmp_path: Path, way: str, word: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"# alpha\n{WAYS[way]}\n")
    document = read_document(file, {})
    path = next(path for path in document.values if path and path[-1] == "q")
    value = document.value
    for part in path:
        value = value[part]

    found = place_in(document, path, value, value.index(word))

    lines = file.read_text().split("\n")
    line = next(n for n, text in enumerate(lines) if word in text and n > 0)
    assert found == Place(line + 1, lines[line].index(word) + 1)


@pytest.mark.parametrize("text", ["q: ${WHAT} beta", r'q: "al\u0070ha beta"', r'q: "alpha\tbeta"'])
def test_what_is_not_written_as_it_is_has_no_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    document = read_document(file, {"WHAT": "alpha"})

    assert place_in(document, ("q",), document.value["q"], document.value["q"].index("beta")) is None


def test_the_end_of_a_text_has_a_place(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("q: ab\n")
    document = read_document(file, {})

    assert place_in(document, ("q",), "ab", 2) == Place(1, 6)
