"""Each connector has its rig, which has it tried in every case or says why not, and the documents list it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.connectors.table import LISTED
from tests.contract.place import CASES
from tests.contract.sinks import rig as sinks
from tests.contract.sources import rig as sources

PAGE = Path(__file__).parents[2] / "docs/reference/connectors.md"
RIGS: dict[tuple[str, str], type[sinks.Rig | sources.Rig]] = {
    **{("sink", name): rig for name, rig in sinks.rigs().items()},
    **{("source", name): rig for name, rig in sources.rigs().items()},
}
GUARANTEE = {"sink": sinks.guarantee, "source": sources.guarantee}
SAYS = {"bad": "bad_said", "login": "login_said", "missing": "missing_said"}


def test_every_connector_has_a_rig() -> None:
    assert sorted(RIGS) == sorted((kind, name) for kind, listed in LISTED.items() for name in listed)


@pytest.mark.parametrize(("kind", "name"), sorted(RIGS))
def test_a_rig_says_what_it_expects_or_why_there_is_nothing_to_try(kind: str, name: str) -> None:
    rig = RIGS[kind, name]

    assert set(rig.nothing) <= set(CASES)
    assert all(rig.nothing.values())
    assert [case for case, said in SAYS.items() if case not in rig.nothing and not getattr(rig, said)] == []
    assert [case for case, said in SAYS.items() if case in rig.nothing and getattr(rig, said)] == []


@pytest.mark.parametrize(("kind", "name"), sorted(RIGS))
def test_every_one_promises_something_that_is_checked_and_is_killed_and_paused(kind: str, name: str) -> None:
    assert GUARANTEE[kind](name)
    assert not {"kill", "woken"} & set(RIGS[kind, name].nothing)


@pytest.mark.parametrize(("kind", "name"), sorted(RIGS))
def test_the_documents_list_every_connector_with_what_it_promises(kind: str, name: str) -> None:
    listed = LISTED[kind][name]  # type: ignore[index]
    extra = f"`{listed.extra}`" if listed.extra else ""
    server = RIGS[kind, name].server

    assert f"| {kind} `{name}` | {listed.promise} | {extra} | {server} |" in PAGE.read_text()
