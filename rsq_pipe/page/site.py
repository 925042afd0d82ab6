"""Site: what the routes of one server of the page share."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from rsq_pipe.page.looks import Looks
from rsq_pipe.streams.client import StreamClient


@dataclass(slots=True)
class Site:
    """
    Hold what is shared.

    Args:
        client: The server that is looked at.
        tokens: Name -> token; none where everybody who reaches the address may look and act.
        read_only: Whether nobody may act.
        jaeger: Where traces are looked at; empty for what a pipeline's file says.
        looks: What the pipelines are doing.
    """

    client: StreamClient
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    read_only: bool = False
    jaeger: str = ""
    looks: Looks = field(init=False)

    def __post_init__(self) -> None:
        self.looks = Looks(self.client)


def site_of(request: Request) -> Site:
    """Find what the routes share."""
    site: Site = request.app.state.site
    return site
