"""What a line of a run without a terminal says again of what keeps it from going on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from rsq_pipe.cli.progress import stands
from rsq_pipe.engine.paused import Paused
from rsq_pipe.errors import ServerUnavailableError
from rsq_pipe.streams.backoff import Outage


def runner(**pauses: Paused) -> Any:
    return cast("Any", SimpleNamespace(state=SimpleNamespace(pauses=pauses)))


def test_a_run_that_goes_on_says_nothing_of_it() -> None:
    assert stands(runner()) == {}


def test_stages_that_pause_are_named_with_their_causes() -> None:
    told = stands(runner(pg=Paused("connection refused", 1.0, 1.0), out=Paused("moved", 1.0, 1.0)))

    assert told == {"paused": "pg: connection refused; out: moved"}


def test_a_server_that_is_away_is_named_until_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outage, "_known", {})
    outage = Outage.of("h:1")
    outage.fails(ServerUnavailableError("server h:1 is not reachable", address="h:1"))
    assert stands(runner()) == {"away": "server h:1 for 0s"}

    outage.works()
    assert stands(runner()) == {}
