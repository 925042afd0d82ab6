"""What a consumer has in flight is what those who hold entries say at that moment."""

from __future__ import annotations

from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.endpoint import Endpoint
from rsq_pipe.streams.in_flight import InFlight
from rsq_pipe.streams.settlement import Entry


def test_what_is_in_flight_is_asked_of_who_holds_it_each_time() -> None:
    channel = Channel(Endpoint.from_url("redis://localhost"), bound=1, patience=1, timeout=1)
    filling = [Entry("s", "1-0")]
    in_flight = InFlight(channel, "g", "c", lambda: filling)

    assert in_flight.ids() == {("s", "1-0")}
    filling += [Entry("s", "2-0"), Entry("t", "2-0")]
    assert in_flight.ids() == {("s", "1-0"), ("s", "2-0"), ("t", "2-0")}
    filling.clear()
    assert len(in_flight) == 0
