"""Reach: a look into a bucket, for `rsq-pipe validate --connect`."""

from __future__ import annotations

from rsq_pipe.connectors.endpoint import Endpoint, UnreachableError
from rsq_pipe.connectors.objects.bucket import AwayError, Bucket, RefusedError
from rsq_pipe.connectors.objects.settings import StoreOptions


def reachable(options: StoreOptions, prefix: str) -> Endpoint:
    """Name a store, and a way to look into it; whether it may be written is not tried."""

    def look(seconds: float) -> str | None:
        try:
            Bucket(options, seconds).look(prefix)
        except (AwayError, RefusedError) as exc:
            raise UnreachableError(str(exc)) from exc
        return None

    return Endpoint(options.url, look)
