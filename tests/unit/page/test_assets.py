"""The page's files: small, self-contained, and never making HTML of data."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ASSETS = ROOT / "rsq_pipe/page/assets"
OWN = sorted(path for path in ASSETS.rglob("*.js") if path.parent.name != "vendor")
ALL = sorted(path for path in ASSETS.rglob("*") if path.is_file())
MOST = 60_000
"""Bytes of all of them together, each compressed by gzip."""

# What makes elements, or runs, of text.
PARSERS = (
    *("innerHTML", "outerHTML", "insertAdjacentHTML", "createContextualFragment", "DOMParser", "srcdoc"),
    *("document.write", "eval(", "new Function", "setHTML", "javascript:", "setTimeout(`", 'setTimeout("'),
)


def size(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9, mtime=0))


def test_all_files_together_are_60_kb_at_most() -> None:
    sizes = {path.relative_to(ASSETS).as_posix(): size(path) for path in ALL}

    assert sum(sizes.values()) <= MOST, sizes


@pytest.mark.parametrize("path", [one for one in ALL if one.suffix == ".js"], ids=lambda path: path.name)
def test_no_script_makes_html_of_text(path: Path) -> None:
    text = path.read_text()

    assert [word for word in PARSERS if word in text] == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_text_is_drawn_in_one_place_alone(path: Path) -> None:
    # dom.js makes text nodes, and spells out what would not be seen in them.
    makers = re.findall(r"createElement|createTextNode|textContent|setAttribute|cloneNode", path.read_text())
    allowed = {
        "dom.js": set(makers),
        "app.js": {"setAttribute"},
        "action.js": {"createElement", "setAttribute"},
        "chart.js": {"setAttribute"},
    }

    assert set(makers) <= allowed.get(path.name, set())


def test_the_document_holds_no_script_and_no_style() -> None:
    text = (ASSETS / "index.html").read_text()

    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text) == []


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    addresses = re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s\"')]*", path.read_text())

    assert [one for one in addresses if one != "http://www.w3.org/2000/svg"] == []


def test_every_file_that_is_named_is_there() -> None:
    named = re.findall(r'(?:href|src)="([\w./-]+)"', (ASSETS / "index.html").read_text())
    found = [(ASSETS, name) for name in named]
    for path in OWN:
        found += [(path.parent, name) for name in re.findall(r'from "(\.[\w./-]+)"', path.read_text())]
    views = re.search(r"const VIEWS = \[(.*?)\n\];", (ASSETS / "app.js").read_text(), re.DOTALL)
    assert views
    found += [(ASSETS / "views", f"{name}.js") for name in re.findall(r'\["(\w+)"', views[1])]

    assert [name for folder, name in found if not (folder / name).is_file()] == []


def test_the_notice_names_each_vendored_version() -> None:
    notice = (ROOT / "NOTICE").read_text()
    files = {path.name for path in (ASSETS / "vendor").iterdir()}
    version = re.search(r'="(\d+\.\d+\.\d+)"', (ASSETS / "vendor/dagre.js").read_text())

    assert files == {"dagre.js"}
    assert version
    assert f"@dagrejs/dagre {version[1]}" in notice
    assert "Copyright (c) 2012-2014 Chris Pettitt" in notice
    assert "Permission is hereby granted" in notice
