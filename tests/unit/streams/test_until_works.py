"""What is tried until the server is back, and what is not."""

from __future__ import annotations

import asyncio

import pytest

from rsq_pipe.errors import GroupLostError, ServerUnavailableError, StreamError, StreamFullError
from rsq_pipe.streams.backoff import Backoff

AWAY, FULL, LOST = ServerUnavailableError("away"), StreamFullError("full"), GroupLostError("lost")


class Acting:
    """Raise some errors, then return; told to stop after the last of them where `stops`."""

    def __init__(self, *errors: StreamError, stops: bool = False) -> None:
        self.stopping = asyncio.Event()
        self.calls = 0
        self._errors = [*errors]
        self._stops = stops

    async def __call__(self) -> str:
        self.calls += 1
        if self._errors:
            error = self._errors.pop(0)
            if self._stops and not self._errors:
                self.stopping.set()
            raise error
        return "done"


async def test_a_call_is_repeated_until_the_server_is_back() -> None:
    acting = Acting(AWAY)

    assert await Backoff("it").until_works(acting, acting.stopping) == "done"
    assert acting.calls == 2


async def test_what_time_does_not_mend_is_raised_at_once() -> None:
    acting = Acting(LOST)

    with pytest.raises(GroupLostError):
        await Backoff("it").unless_stopped(acting, acting.stopping)
    assert acting.calls == 1


async def test_a_full_server_is_waited_for_where_that_is_said() -> None:
    acting, other = Acting(FULL), Acting(FULL)

    assert await Backoff("it").until_works(acting, acting.stopping, full=True) == "done"
    with pytest.raises(StreamFullError):
        await Backoff("it").until_works(other, other.stopping)


async def test_nothing_is_tried_again_after_a_stop() -> None:
    acting, other = Acting(AWAY, stops=True), Acting(AWAY, stops=True)

    with pytest.raises(ServerUnavailableError):
        await Backoff("it").until_works(acting, acting.stopping)
    assert await Backoff("it").unless_stopped(other, other.stopping) is None
    assert acting.calls == other.calls == 1
