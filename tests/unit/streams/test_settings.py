"""Settings are checked where they are made, and rates use bounded memory."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from rsq_pipe.streams import metrics
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.endpoint import Endpoint
from rsq_pipe.streams.metrics import SAMPLED, WINDOW, ConsumerTally, RateWindow
from tests.support.clock import Clock


def test_the_defaults_are_those_of_the_reference() -> None:
    config = ConsumerConfig("g")

    assert (config.batch_size, config.block_ms, config.min_idle_claim_ms) == (100, 5_000, 10_000)
    assert (config.max_deliveries, config.max_stream_size, config.max_claim_passes) == (3, None, None)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 1_001),
        ("block_ms", -1),
        ("batch_wait_ms", -1),
        ("min_idle_claim_ms", -1),
        ("max_deliveries", 0),
    ],
)
def test_a_setting_out_of_range_is_named(setting: str, value: int) -> None:
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(ValueError, match=f"{setting} is {value}"):
        ConsumerConfig("g", **settings)


def test_worker_names_do_not_collide() -> None:
    names = {ConsumerConfig("g").worker_name for _ in range(10_000)}

    assert len(names) == 10_000
    assert all(name.startswith("g_") for name in names)


def test_a_heartbeat_beats_three_times_in_the_idle_time() -> None:
    assert ConsumerConfig("g", min_idle_claim_ms=900).heartbeat_ms == 300
    assert ConsumerConfig("g", min_idle_claim_ms=1).heartbeat_ms == 1


@pytest.mark.parametrize(
    ("url", "address", "cluster"),
    [
        ("redis://h:7000/3", "h:7000", False),
        ("redis://", "localhost:6379", False),
        ("rediss://u:secret@h", "h:6379", False),
        ("unix:///run/s.sock?db=2", "unix:///run/s.sock", False),
        ("redis+cluster://u:secret@h:7000", "h:7000", True),
        ("rediss+cluster://h:7000", "h:7000", True),
    ],
)
def test_urls_are_understood_and_shown_without_credentials(url: str, address: str, cluster: bool) -> None:
    endpoint = Endpoint.from_url(url)

    assert (endpoint.address, endpoint.is_cluster) == (address, cluster)
    assert "secret" not in repr(endpoint)


@pytest.mark.parametrize("url", ["http://h", "h:6379", "", "redis+cluster://h/3"])
def test_urls_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL"):
        Endpoint.from_url(url)


@pytest.mark.parametrize(
    "other",
    [
        {"username": "b"},
        {"password": "other"},
        {"db": 1},
        {"port": 6380},
        {"ssl": True},
        {"client_name": "b"},
        {"socket_connect_timeout": 1.0},
    ],
    ids=lambda other: next(iter(other)),
)
def test_endpoints_that_differ_in_anything_are_not_one(other: dict[str, Any]) -> None:
    base: dict[str, Any] = {"username": "a", "password": "p"}

    assert StreamClient(**base).channel.endpoint.identity == StreamClient(**base).channel.endpoint.identity
    assert (
        StreamClient(**base).channel.endpoint.identity
        != StreamClient(**base | other).channel.endpoint.identity
    )


def test_a_cluster_keeps_user_and_tls() -> None:
    client = StreamClient.from_cluster([("h", 7000)], "p", "u", ssl=True)

    assert client.channel.endpoint.settings["username"] == "u"
    assert (
        client.channel.endpoint.identity
        != StreamClient.from_cluster([("h", 7000)], "p", "u").channel.endpoint.identity
    )


@pytest.mark.parametrize(
    "url", ["redis://u:CANARY/x#y@localhost:1", "CANARY", "CANARY://h", "redis://h:CANARY"]
)
def test_no_message_about_a_url_quotes_any_of_it(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        Endpoint.from_url(url)

    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_a_url_says_of_the_client_is_heard() -> None:
    client = StreamClient.from_url("redis://h?max_connections=3&socket_timeout=2.5")

    assert (client.channel._bound, client.channel.timeout) == (3, 2.5)


def test_a_setting_nobody_knows_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="sockettimeout"):
        StreamClient.from_url("redis://h", sockettimeout=3)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1_000.0)
    monkeypatch.setattr(metrics, "time", clock)
    return clock


def test_a_rate_is_that_of_the_last_minute(clock: Clock) -> None:
    window, total = RateWindow(), 0
    for rate in (1_000, 10):
        for _ in range(2 * WINDOW):
            total += rate
            clock.now += 1
            window.sample(total)
        assert window.per_second(total) == rate

    clock.now += WINDOW
    assert window.per_second(total) == 0


def test_the_rate_of_a_shorter_time_than_a_minute_is_that_since_the_start(clock: Clock) -> None:
    window = RateWindow()
    assert window.per_second(7) == 7  # no time has passed: as if it had been a second
    clock.now += 20

    assert window.per_second(100) == 5


def test_a_consumer_takes_samples_for_its_rates_by_itself(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = ConsumerTally()

    async def sleep(seconds: float) -> None:
        if clock.now >= 1_000 + 10 * WINDOW:
            raise asyncio.CancelledError
        clock.now += seconds
        tally.read += 10
        tally.acked += 5

    monkeypatch.setattr(metrics, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(tally.sample_on())

    found = tally.metrics()
    assert (found.tps_in, found.tps_out) == (10 / SAMPLED, 5 / SAMPLED)


def test_a_rate_window_that_nobody_asks_does_not_grow(clock: Clock) -> None:
    window = RateWindow()
    for total in range(20 * WINDOW):
        window.sample(total)
        clock.now += 0.5

    assert len(window._samples) <= WINDOW + 1
