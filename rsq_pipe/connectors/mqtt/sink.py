"""Sink `mqtt`: a message for each record, sent until the broker has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.mqtt.settings import WriteSettings as Options

if TYPE_CHECKING:
    from rsq_pipe.connectors.mqtt.writing import MqttSink


def connect(options: Options, *, stage: str, root: Path) -> MqttSink:
    """Make the sink of a stage; nothing is opened yet."""
    from rsq_pipe.connectors.mqtt.writing import MqttSink  # noqa: PLC0415  an extra

    return MqttSink(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the broker as an endpoint."""

    def reach(seconds: float) -> None:
        from rsq_pipe.connectors.mqtt.client import reach_broker  # noqa: PLC0415  an extra

        reach_broker(options, root, seconds)

    return Endpoint(f"mqtt broker {options.broker}", reach)


__all__ = ["Options", "connect", "endpoint"]
