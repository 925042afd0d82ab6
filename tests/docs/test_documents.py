"""The documents hold together: links lead somewhere, and the commands they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OUTSIDE = ("http://", "https://", "mailto:", "#")

pytestmark = pytest.mark.docs


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def anchors(page: Path) -> set[str]:
    """List what a link may name in a page, as GitHub spells its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    inside = [link.partition("#")[0] for link in links if not link.startswith(OUTSIDE)]

    assert [link for link in inside if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_into_a_page_name_a_heading_of_it(document: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()) if "://" not in link]
    into = [link.partition("#") for link in links if "#" in link]
    found = [((document.parent / page).resolve() if page else document, name) for page, _, name in into]

    assert [name for page, name in found if page.suffix == ".md" and name not in anchors(page)] == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_that_are_named_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^\s*\$? ?)make ([a-z-]+)", document.read_text(), re.MULTILINE))

    assert named <= targets


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted(ROOT.glob("docs/adr/[0-9]*.md"))]

    assert numbers == list(range(1, len(numbers) + 1))


def test_the_index_lists_every_document_and_every_decision_by_its_title() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = [path for folder in ("guide", "reference") for path in ROOT.glob(f"docs/{folder}/*.md")]
    decisions = sorted(ROOT.glob("docs/adr/[0-9]*.md"))

    assert [page.name for page in pages if f"/{page.name})" not in index] == []
    listed = re.findall(r"^(\d+)\. \[(.*)\]\(adr/(.*)\)$", index, re.MULTILINE)
    titles = [path.read_text().partition("\n")[0].removeprefix("# ") for path in decisions]
    assert [(f"{number}. {title}", name) for number, title, name in listed] == (
        [(title, path.name) for title, path in zip(titles, decisions, strict=True)]
    )
