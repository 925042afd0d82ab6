"""Site: what the routes of one server of the page share."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from starlette.requests import Request

from rsq_pipe.errors import NeverRanError
from rsq_pipe.ops.as_run import AsRun, as_run
from rsq_pipe.ops.letter_groups import LetterGroups
from rsq_pipe.page.feeds import Feeds
from rsq_pipe.page.jobs import Jobs
from rsq_pipe.page.looks import Looks
from rsq_pipe.spec.fields import NAME_PATTERN
from rsq_pipe.streams.client import StreamClient

SCANS = 2
"""Requests that go through streams entry by entry, at once."""

KEPT = 300
"""Stages whose dead letters are kept grouped."""


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
    feeds: Feeds = field(init=False)
    scanning: asyncio.Semaphore = field(init=False, default_factory=lambda: asyncio.Semaphore(SCANS))
    jobs: Jobs = field(init=False, default_factory=Jobs)
    _groups: dict[str, LetterGroups] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.looks = Looks(self.client)
        self.feeds = Feeds(self.looks)

    async def run_of(self, pipeline: str) -> AsRun:
        """
        Find a pipeline as it was last run.

        Raises:
            NeverRanError: It never ran here.
        """
        if not re.fullmatch(NAME_PATTERN, pipeline):
            raise NeverRanError(pipeline[:80], self.client.channel.address)
        return await as_run(self.client, pipeline)

    def letter_groups(self, pipeline: str, stage: str) -> LetterGroups:
        """Find what groups the dead letters of a stage; that is kept, for so many stages."""
        key = f"{{{pipeline}}}:{stage}:dlq"
        found = self._groups.pop(key, None) or LetterGroups(self.client, key, stage)
        self._groups[key] = found
        while len(self._groups) > KEPT:
            del self._groups[next(iter(self._groups))]
        return found

    async def close(self) -> None:
        """End what goes on beside requests."""
        self.feeds.close()
        await self.jobs.end()


def site_of(request: Request) -> Site:
    """Find what the routes share."""
    site: Site = request.app.state.site
    return site
