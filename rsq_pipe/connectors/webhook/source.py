"""Source `webhook`: records that others send by POST, answered once they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.webhook.address import check_address
from rsq_pipe.connectors.webhook.settings import WebhookSettings as Options

if TYPE_CHECKING:
    from rsq_pipe.connectors.webhook.webhook import WebhookSource


def connect(options: Options, *, stage: str, root: Path) -> WebhookSource:  # noqa: ARG001  every connector's signature
    """Make the source of a stage; nothing listens yet."""
    from rsq_pipe.connectors.webhook.webhook import WebhookSource  # noqa: PLC0415  an extra

    return WebhookSource(options, stage=stage)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Name the address; it is listened at for a moment."""
    return Endpoint(f"listen at {options.listen}", lambda _: check_address(options.listen))


__all__ = ["Options", "connect", "endpoint"]
