"""PauseLog: which pauses of a stage are logged."""

from __future__ import annotations

from typing import Any

import structlog
from structlog.testing import capture_logs

from rsq_pipe.engine.pauses.breaker import Breaker, Cause
from rsq_pipe.engine.pauses.pause_log import CALM, GOES_ON, ONE_CALL, SHORT, PauseLog
from rsq_pipe.spec.graph import BreakerPolicy

AWAY = Cause("", "it answers 503", certain=True)


class Stage:
    """A stage's breaker and the log of its pauses, at a time that the test sets."""

    def __init__(self, first: float = 0.1, most: float = 60.0) -> None:
        self.now = 1_000.0
        self._breaker = Breaker(BreakerPolicy(20, first, most), lambda: self.now)
        self._log = PauseLog(structlog.get_logger("rsq_pipe"), lambda: self.now)

    def fails(self, *, pause: float = 0.0) -> None:
        cause = Cause("", AWAY.text, certain=True, pause=pause)
        self._breaker.note(["read:1"], {0: cause})
        self._log.paused("out", self._breaker)

    def fails_again(self) -> None:
        self._breaker.trial_failed(AWAY.text)
        self._log.paused("out", self._breaker)

    def learns_of_it(self) -> None:
        self._breaker.suspect(AWAY.text)

    def works(self) -> None:
        self._breaker.trial_succeeded()
        self._log.resumed("out", self._breaker)


def events(logs: list[Any]) -> list[str]:
    return [line["event"] for line in logs]


def test_the_next_line_counts_the_short_pauses_that_were_not_logged() -> None:
    stage = Stage()
    with capture_logs() as logs:
        for _ in range(4):
            stage.fails()
            stage.works()
            stage.now += 1
        stage.now += CALM
        stage.fails()

    assert events(logs) == [ONE_CALL, GOES_ON, ONE_CALL]
    assert "short_pauses_before" not in logs[0]
    assert logs[-1]["short_pauses_before"] == 3


def test_a_pause_that_becomes_long_is_logged_soon_after_another_line() -> None:
    stage = Stage()
    with capture_logs() as logs:
        stage.fails()
        stage.works()
        stage.now += 1
        stage.fails()
        assert events(logs) == [ONE_CALL, GOES_ON]
        stage.now += SHORT
        stage.fails_again()
        stage.works()

    assert events(logs)[2:] == ["paused: calls fail one after another", GOES_ON]
    assert logs[-1]["paused"] == SHORT


def test_a_pause_that_a_service_asks_for_is_logged_at_once_where_it_is_long() -> None:
    stage = Stage()
    with capture_logs() as logs:
        stage.fails()
        stage.works()
        stage.fails(pause=30)

    assert events(logs) == [ONE_CALL, GOES_ON, ONE_CALL]
    assert logs[-1]["tried_again_in"] == 30


def test_a_process_that_only_learned_of_a_pause_logs_neither_it_nor_its_end() -> None:
    stage = Stage()
    with capture_logs() as logs:
        stage.learns_of_it()
        stage.works()

    assert not logs
