"""Reach: whether an MQTT broker lets us in."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.connectors.endpoint import UnreachableError
from rsq_pipe.connectors.mqtt.client import AwayError, Client
from rsq_pipe.connectors.mqtt.settings import Broker


def reach_broker(settings: Broker, root: Path, seconds: float) -> None:
    """
    Connect under no name, so that nobody's session is taken.

    Raises:
        RefusedError, UnreachableError: It cannot be connected to.
    """
    client = Client(settings.model_copy(update={"timeout": seconds}), root, "")
    try:
        client.start()
    except AwayError as exc:
        raise UnreachableError(f"{exc}; check `broker` and `tls`, and that it runs") from exc
    finally:
        client.stop()
