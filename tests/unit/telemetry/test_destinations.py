"""Who is told, by the standard variables; and when a process lives and is ready."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.errors import RsqPipeError
from rsq_pipe.telemetry.destinations import Destinations, destinations
from rsq_pipe.telemetry.health import LIVE, LOST, READY, Health

ALL = "OTEL_EXPORTER_OTLP_ENDPOINT"


def test_without_an_endpoint_nobody_is_told() -> None:
    assert not destinations({}).any
    assert not destinations({ALL: " "}).any


def test_endpoint_takes_traces_and_metrics() -> None:
    assert destinations({ALL: "http://c:4318"}) == Destinations("http/protobuf", "http/protobuf")


def test_endpoint_of_one_signal_takes_that_one() -> None:
    assert destinations({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}).metrics == ""


def test_signal_can_be_left_out() -> None:
    assert destinations({ALL: "http://c", "OTEL_METRICS_EXPORTER": "none"}).metrics == ""


def test_disabled_sdk_wins_over_everything() -> None:
    environ = {ALL: "http://c", "OTEL_SDK_DISABLED": "TRUE"}

    assert not destinations(environ, trace_file=Path("f"), scraped=True).any


@pytest.mark.parametrize(
    "environ",
    [{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, {"OTEL_TRACES_EXPORTER": "zipkin"}],
    ids=["protocol", "exporter"],
)
def test_what_is_not_supported_is_said(environ: dict[str, str]) -> None:
    with pytest.raises(RsqPipeError, match="is not supported; write"):
        destinations({ALL: "http://c", **environ})


def test_process_is_ready_while_its_server_answers_and_live_while_its_loop_turns() -> None:
    now = 0.0
    health = Health(lambda: now)
    assert (health.live, health.ready) == (True, False)

    health.reached()
    assert health.ready

    health.lost("server h:1 cannot serve now: READONLY")
    health.reached()
    assert (health.ready, health.why) == (False, "server h:1 cannot serve now: READONLY"), "it only reads"

    now = LOST
    assert health.ready, "nothing has been refused since"

    now = READY
    health.turned()
    assert (health.live, health.ready) == (True, False)

    now = READY + LIVE
    health.reached()
    assert (health.live, health.ready) == (False, False)
