"""What a consumer has in flight is all it took and has not let go of, also while a batch is being filled."""

from __future__ import annotations

from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.endpoint import Endpoint
from rsq_pipe.streams.in_flight import InFlight
from rsq_pipe.streams.settlement import Entry


def entries(*numbers: int) -> list[Entry]:
    return [Entry("s", f"{number}-0") for number in numbers]


def in_flight() -> InFlight:
    channel = Channel(Endpoint.from_url("redis://localhost"), bound=1, patience=1, timeout=1)
    return InFlight(channel, "g", "c")


def test_parts_of_what_was_taken_may_be_let_go_of() -> None:
    held = in_flight()
    held.take(entries(1, 2, 3))

    held.let_go(entries(2))

    assert held.ids() == {("s", "1-0"), ("s", "3-0")}


def test_a_batch_that_is_being_filled_stays_in_flight_whatever_else_is_let_go_of() -> None:
    held, filling = in_flight(), entries(1)
    held.take(filling)
    held.take(entries(8, 9))

    held.let_go(entries(8))
    filling += entries(2)

    assert held.ids() == {("s", "1-0"), ("s", "2-0"), ("s", "9-0")}
    held.let_go(filling)
    assert held.ids() == {("s", "9-0")}
