"""Exporters: what the SDK's are called in messages, and how often they report a failure."""

from __future__ import annotations

import logging

import pytest

from rsq_pipe.telemetry import exporters
from rsq_pipe.telemetry.destinations import HTTP
from rsq_pipe.telemetry.exporters import CALM, Calm, address_of, span_exporter
from tests.support.ports import free_port


def test_messages_about_a_collector_name_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318")

    assert address_of(span_exporter(HTTP)) == "http://collector.example:4318/v1/traces"


def test_a_collector_that_is_away_is_logged_once_by_the_sdk(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    monkeypatch.setattr(exporters._CALM, "_logged", {})  # of other tests
    spans = span_exporter(HTTP)

    for _ in range(5):
        spans.export(())

    assert len([record for record in caplog.records if "export span" in record.getMessage()]) == 1


def test_the_same_failure_of_another_signal_and_a_later_one_are_logged() -> None:
    now = 0.0
    calm = Calm(lambda: now)

    def passes(signal: str) -> bool:
        return calm.filter(logging.LogRecord("x", logging.ERROR, "", 0, "cannot export %s", (signal,), None))

    assert [passes("spans"), passes("spans"), passes("metrics")] == [True, False, True]
    now = CALM
    assert [passes("spans"), passes("spans")] == [True, False]
