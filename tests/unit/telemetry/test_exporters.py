import pytest

from rsq_pipe.telemetry.destinations import HTTP
from rsq_pipe.telemetry.exporters import address_of, span_exporter


def test_messages_about_a_collector_name_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318")

    assert address_of(span_exporter(HTTP)) == "http://collector.example:4318/v1/traces"
