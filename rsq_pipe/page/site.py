"""Site: the shared objects of the routes of one page server."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field

from starlette.requests import Request

from rsq_pipe.errors import NeverRanError
from rsq_pipe.ops.as_run import AsRun, as_run
from rsq_pipe.ops.dead_letters.dead_letter_groups import DeadLetterGroups
from rsq_pipe.ops.pipelines import Listed, pipelines
from rsq_pipe.page.feeds import Feeds
from rsq_pipe.page.jobs import Jobs
from rsq_pipe.page.status_cache import StatusCache
from rsq_pipe.spec.fields import NAME_PATTERN
from rsq_pipe.streams.client import StreamClient

LISTED_AGAIN = 1.0
"""Minimum seconds between two listings of the pipelines."""

SCANS = 2
"""Maximum number of concurrent requests that read streams entry by entry."""

KEPT = 300
"""Maximum number of stages whose grouped dead letters are cached."""


@dataclass(slots=True)
class Site:
    """
    Hold the shared objects.

    Args:
        client: The Redis server shown.
        tokens: Name -> token; empty if no token is needed.
        read_only: Whether all actions are refused.
        jaeger: Where traces can be viewed; empty for the setting in a pipeline's file.
        status_cache: Reads the status of pipelines.
    """

    client: StreamClient
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    read_only: bool = False
    jaeger: str = ""
    status_cache: StatusCache = field(init=False)
    feeds: Feeds = field(init=False)
    scanning: asyncio.Semaphore = field(init=False, default_factory=lambda: asyncio.Semaphore(SCANS))
    jobs: Jobs = field(init=False, default_factory=Jobs)
    _listed: list[Listed] = field(init=False, default_factory=list, repr=False)
    _listing: asyncio.Lock = field(init=False, default_factory=asyncio.Lock, repr=False)
    _list_again: float = field(init=False, default=0.0)
    _groups: dict[str, DeadLetterGroups] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.status_cache = StatusCache(self.client)
        self.feeds = Feeds(self.status_cache)

    async def run_of(self, pipeline: str) -> AsRun:
        """
        Find a pipeline as last run.

        Raises:
            NeverRanError: It never ran here.
        """
        if not re.fullmatch(NAME_PATTERN, pipeline):
            raise NeverRanError(pipeline[:80], self.client.channel.address)
        return await as_run(self.client, pipeline)

    async def pipelines(self) -> list[Listed]:
        """
        List the pipelines of the server, as of a second ago, or longer if there are very many keys.

        Redis: like `pipelines`, at most a tenth of the time.
        """
        async with self._listing:
            began = time.monotonic()
            if began >= self._list_again:
                self._listed = await pipelines(self.client)
                ended = time.monotonic()
                self._list_again = ended + max(LISTED_AGAIN, 10 * (ended - began))
            return self._listed

    def dead_letter_groups(self, pipeline: str, stage: str) -> DeadLetterGroups:
        """Return the groups of a stage's dead letters; they are cached for a limited number of stages."""
        key = f"{{{pipeline}}}:{stage}:dlq"
        found = self._groups.pop(key, None) or DeadLetterGroups(self.client, key, stage)
        self._groups[key] = found
        while len(self._groups) > KEPT:
            del self._groups[next(iter(self._groups))]
        return found

    async def close(self) -> None:
        """End background work."""
        self.feeds.close()
        await self.jobs.end()


def site_of(request: Request) -> Site:
    """Return the shared objects of the routes."""
    site: Site = request.app.state.site
    return site
