"""Each connector has its contract, each test that one names is there, and the documents say the same."""

from __future__ import annotations

import ast
from dataclasses import astuple
from functools import cache
from pathlib import Path

import pytest

from rsq_pipe.connectors.table import LISTED
from tests.integration.connectors.contract import CONTRACTS, Kind, Shown

TESTS = Path(__file__).parents[2]
PAGE = TESTS.parent / "docs/reference/connectors.md"
ALL: list[tuple[Kind, str]] = [("source", name) for name in LISTED["source"]]


@cache
def named_in(file: str) -> frozenset[str]:
    """List the tests that stand in a file."""
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_every_connector_has_a_contract_and_none_has_two() -> None:
    assert sorted(CONTRACTS) == sorted(ALL)


@pytest.mark.parametrize(("kind", "name"), sorted(CONTRACTS))
def test_what_a_contract_names_is_tested(kind: Kind, name: str) -> None:
    contract = CONTRACTS[kind, name]
    proofs = [getattr(contract, check) for check in ("kill", "woken", "away", "bad", "login", "missing")]

    missing = [
        proof for proof in proofs if isinstance(proof, Shown) and proof.test not in named_in(proof.file)
    ]

    assert len(astuple(contract)) == 7
    assert not missing


@pytest.mark.parametrize(("kind", "name"), sorted(ALL))
def test_the_documents_list_every_connector_with_what_it_promises(kind: Kind, name: str) -> None:
    listed = LISTED[kind][name]
    extra = f"`{listed.extra}`" if listed.extra else ""

    assert (
        f"| {kind} `{name}` | {listed.promise} | {extra} | {CONTRACTS[kind, name].server} |"
        in PAGE.read_text()
    )
