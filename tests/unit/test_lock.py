"""The committed lock fits pyproject.toml, and names no place to fetch from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
RENEW = "run `make lock`, and commit requirements/"


@pytest.mark.parametrize(
    ("lock", "groups"), [("dev", ["dev"]), ("bench", ["bench"]), ("lowest", ["test", "build"])]
)
def test_a_lock_holds_what_the_project_asks_for(lock: str, groups: list[str]) -> None:
    pins = pinned(lock)

    for wanted in declared(groups):
        found = pins.get(canonicalize_name(wanted.name), [])
        assert found, f"{wanted} is not in requirements/{lock}.txt; {RENEW}"
        assert all(wanted.specifier.contains(pin) for pin in found), f"{wanted} is locked as {found}; {RENEW}"


def test_a_first_run_installs_what_the_tests_test_and_nothing_of_single_connectors() -> None:
    run, dev = pinned("run"), pinned("dev")

    assert {name: dev[name] for name in run} == run, RENEW
    for text in PROJECT["project"]["dependencies"]:
        assert canonicalize_name(Requirement(text).name) in run, (
            f"{text} is not in requirements/run.txt; {RENEW}"
        )
    assert run.keys().isdisjoint({"aiohttp", "duckdb", "psycopg", "pytest", "mypy"})


def test_the_lowest_versions_are_those_the_project_allows() -> None:
    pins = pinned("lowest")

    for wanted in declared(["test", "build"]):
        floors = [Version(one.version) for one in wanted.specifier if one.operator in {">=", "=="}]
        assert floors, f"{wanted} has no lowest version, so nobody knows whether it works"
        assert pins[canonicalize_name(wanted.name)] == [max(floors)], f"{wanted}: {RENEW}"


@pytest.mark.parametrize("lock", ["dev", "run", "bench", "lowest"])
def test_a_lock_has_hashes_and_names_no_index(lock: str) -> None:
    text = (ROOT / f"requirements/{lock}.txt").read_text()

    assert "://" not in text
    assert "--index" not in text
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks(text))


def test_what_builds_the_project_is_locked_as_well() -> None:
    assert set(PROJECT["build-system"]["requires"]) <= set(PROJECT["dependency-groups"]["build"])


def declared(groups: Iterable[str]) -> Iterator[Requirement]:
    """Yield what the project, its extras and these groups ask for."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    for text in [*PROJECT["project"]["dependencies"], *(one for extra in extras for one in extra)]:
        yield Requirement(text)
    for group in groups:
        for item in PROJECT["dependency-groups"][group]:
            if isinstance(item, str):
                yield Requirement(item)
            else:
                yield from declared([item["include-group"]])


def pinned(lock: str) -> dict[str, list[Version]]:
    """Read a lock: name -> versions; more than one where it depends on the platform."""
    found: dict[str, list[Version]] = {}
    for block in blocks((ROOT / f"requirements/{lock}.txt").read_text()):
        name, version = block.split(maxsplit=1)[0].split("==")
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def blocks(text: str) -> list[str]:
    """Split a lock into its packages, each with its hashes."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines).strip())
