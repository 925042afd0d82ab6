"""The pause before another attempt grows while it fails, and begins anew once it works."""

from __future__ import annotations

from rsq_pipe.growing_pause import GrowingPause


def test_a_growing_pause_doubles_up_to_its_bound() -> None:
    pause = GrowingPause(0.5, 3.0)

    assert [pause.fails() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_growing_pause_starts_over_once_a_call_has_worked() -> None:
    pause = GrowingPause(0.5, 3.0)
    pause.fails()
    pause.fails()

    assert (pause.works(), pause.seconds, pause.works()) == (True, 0.0, False)
    assert pause.fails() == 0.5
