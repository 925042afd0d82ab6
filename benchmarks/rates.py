"""
Write the results of `python -m benchmarks.connectors` into the documents: `python -m benchmarks.rates`.

The table of docs/reference/connectors.md gets each connector's rate, docs/benchmarks.md all tables.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT
from benchmarks.table import Table
from rsq_pipe.connectors.table import LISTED, Kind

Name = tuple[Kind, str]

MEASURED = ROOT / "out/benchmarks-connectors.json"
CONNECTORS = ROOT / "docs/reference/connectors.md"
BENCHMARKS = ROOT / "docs/benchmarks.md"

UNRATED: dict[Name, str] = {("source", "schedule"): "none: it waits for the clock"}
"""Connectors that have no rate, and why."""

_ROW = re.compile(r"^\| (source|sink) `(\w+)` \|(.*\|)[^|]*\|$", re.MULTILINE)


class NoFigureError(Exception):
    """A connector was not measured."""


def cells(facts: Mapping[str, Any]) -> dict[Name, str]:
    """
    Write each connector's rate.

    Raises:
        NoFigureError: Some have none, usually because their servers are not installed here.
    """
    tables = [Table.of(one) for one in facts["tables"]]
    found = {
        (kind, name): UNRATED.get((kind, name)) or _cell(tables, f"{kind} {name}")
        for kind, listed in LISTED.items()
        for name in listed
    }
    if missing := [" ".join(name) for name, cell in found.items() if not cell]:
        raise NoFigureError(f"there is no figure of {', '.join(missing)}; install what their tests run on")
    return {name: cell for name, cell in found.items() if cell}


def with_rates(page: str, facts: Mapping[str, Any]) -> str:
    """Fill the last column of the table of connectors, and say how it was measured."""
    rates = cells(facts)

    def row(found: re.Match[str]) -> str:
        kind: Any = found[1]
        return f"| {kind} `{found[2]}` |{found[3]} {rates[kind, found[2]]} |"

    return _between(_ROW.sub(row, page), "rates", method(facts))


def method(facts: Mapping[str, Any]) -> str:
    """Say in a sentence what a rate is, and where it was measured."""
    machine, day = facts["machine"], datetime.fromisoformat(facts["taken"]).date()
    where = (
        f"{machine['cpus']} shared cores, {machine['system'].partition('-')[0]}, Python {machine['python']}"
    )
    return (
        "**Rate here:** records a second, CPU time of our process for each, and how many times the rate of\n"
        f"a bare loop that does the same (x): medians of {facts['rounds']} rounds on {where}, {day}.\n"
        "Records have 5 to 19 fields; each connector works by itself, without a pipeline around it, but for\n"
        "`stream`. [All of it](../benchmarks.md#connectors); `make bench-connectors` measures yours."
    )


def with_tables(page: str, facts: Mapping[str, Any]) -> str:
    """Put all tables between their marks."""
    text = "\n".join(str(Table.of(one)) for one in facts["tables"]).strip()
    return _between(page, "connectors", f"```text\n{text}\n```")


def _cell(tables: list[Table], name: str) -> str:
    """Write the rate of the first contender of that name; nothing if there is none."""
    for table in tables:
        for contender in table.rounds:
            if contender == name or contender.startswith(f"{name},"):
                medians, beside = table.medians(contender), table.ratios(contender)
                shown = [f"{_rounded(medians['records/s'])}/s", f"{_rounded(medians['CPU us/record'])} us"]
                return ", ".join([*shown, *([f"{_rounded(beside['records/s'])} x"] if beside else [])])
    return ""


def _rounded(value: float) -> str:
    """Write two significant digits: 250,000, 1.2, 0.068."""
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"


def _between(page: str, mark: str, text: str) -> str:
    begin, end = f"<!-- {mark}: written by `python -m benchmarks.rates` -->\n", f"\n<!-- end of {mark} -->"
    before, found, rest = page.partition(begin)
    _, also, after = rest.partition(end)
    if not found or not also:
        raise ValueError(f"the page has no {begin!r} with {end!r} behind it")
    return f"{before}{begin}{text}{end}{after}"


def main() -> None:
    """Write both pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("measured", type=Path, nargs="?", default=MEASURED, help="what benchmarks wrote")
    path = parser.parse_args().measured
    try:
        facts = json.loads(path.read_bytes())
    except FileNotFoundError:
        sys.exit(f"there is no {path}; run `python -m benchmarks.connectors` first")
    if facts["quick"]:
        sys.exit(f"{path} is of a quick run, which says whether it works, not how fast")
    try:
        CONNECTORS.write_text(with_rates(CONNECTORS.read_text(), facts))
        BENCHMARKS.write_text(with_tables(BENCHMARKS.read_text(), facts))
    except NoFigureError as exc:
        sys.exit(str(exc))
    print(f"written: {CONNECTORS}, {BENCHMARKS}")


if __name__ == "__main__":
    main()
