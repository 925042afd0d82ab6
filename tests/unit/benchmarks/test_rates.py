"""The table of connectors gets its rates from what was measured, and from nothing else."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest

from benchmarks.connectors import GROUPS
from benchmarks.rates import CONNECTORS, UNRATED, NoFigureError, cells, with_rates, with_tables
from benchmarks.table import Table
from rsq_pipe.connectors.table import LISTED

NAMES = [f"{kind} {name}" for kind, listed in LISTED.items() for name in listed]
PAGE = """\
<!-- rates: written by `python -m benchmarks.rates` -->
old
<!-- end of rates -->

| connector | what it promises | extra | tested on | rate here |
|---|---|---|---|---|
| source `csv` | goes on |  | files | 1/s |
| source `schedule` | goes on | `schedule` | the clock | |
| sink `jsonl` | exactly once |  | files |  |
"""


def facts(*contenders: str) -> dict[str, Any]:
    rates: dict[str, dict[str, float]] = {
        contender: {"records/s": 123_456.0 * (n + 1), "CPU us/record": 123.4}
        for n, contender in enumerate(contenders)
    }
    beside = {contenders[1]: contenders[0]}
    table = Table("files", "Files", None, (), {name: [one] * 3 for name, one in rates.items()}, beside)
    machine = {"system": "Linux-6.1-x86_64", "cpus": 2, "python": "3.11.7", "server": "9.1"}
    return {
        "tables": [table.facts()],
        "taken": "2026-11-27T09:00:00+00:00",
        "rounds": 3,
        "machine": machine,
        "quick": False,
    }


def test_each_connector_gets_the_rate_of_the_first_of_its_name_and_how_that_is_beside_a_bare_loop() -> None:
    found = cells(facts("bare", *NAMES, "source csv, .gz"))

    assert set(found) == {(kind, name) for kind, listed in LISTED.items() for name in listed}
    first = found["source", "csv"]
    assert first == "250,000/s, 120 us, 2 x"
    assert found["source", "dlt"] == "370,000/s, 120 us"


def test_the_column_and_the_sentence_above_it_are_written_anew_and_all_else_is_kept() -> None:
    page = with_rates(PAGE, facts("bare", *NAMES))

    assert "| source `csv` | goes on |  | files | 250,000/s, 120 us, 2 x |\n" in page
    assert f"| the clock | {UNRATED['source', 'schedule']} |\n" in page
    assert "old" not in page
    assert "medians of 3 rounds on 2 shared cores, Linux, Python 3.11.7, 2026-11-27" in page
    assert with_rates(page, facts("bare", *NAMES)) == page


def test_the_documents_say_of_every_connector_how_fast_it_is_or_why_it_has_no_rate() -> None:
    rows = re.findall(r"^\| (source|sink) `(\w+)` \|.*\| (.*) \|$", CONNECTORS.read_text(), re.MULTILINE)
    found = {(kind, name): rate for kind, name, rate in rows}

    assert set(found) == {(kind, name) for kind, listed in LISTED.items() for name in listed}
    rated = r"[\d,]+/s, [\d.]+ us(, [\d.]+ x)?"
    wrong = {name for name, rate in found.items() if not re.fullmatch(rated, rate)}
    assert {name: found[name] for name in wrong} == UNRATED


def test_a_connector_without_a_figure_is_named() -> None:
    with pytest.raises(NoFigureError, match="there is no figure of sink stream; install"):
        cells(facts("bare", *(name for name in NAMES if name != "sink stream")))


def test_all_tables_are_shown_as_they_were_printed() -> None:
    page = "<!-- connectors: written by `python -m benchmarks.rates` -->\n\n<!-- end of connectors -->\n"
    given = facts("bare", *NAMES)

    shown = with_tables(page, given)

    assert str(Table.of(given["tables"][0])).strip() in shown
    assert with_tables(shown, given) == shown


@pytest.mark.parametrize("name", GROUPS)
def test_each_group_of_the_benchmark_says_what_it_measures_and_how_much(name: str) -> None:
    group = import_module(f"benchmarks.{name}")

    usual, quick = group.SIZE
    assert usual > quick > 0
    assert group.TITLE
    assert all(bare != own for own, bare in group.BESIDE.items())
