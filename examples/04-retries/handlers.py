"""The Python of the pipeline in this folder."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import Any

from rsq_pipe import Context, Retry
from rsq_pipe.verbs import StageContext


def convert(order: dict[str, Any], ctx: Context) -> dict[str, Any] | Retry:
    """Add the amount in euros, at the rate the service gives."""
    rates = ctx.resource(open_rates)
    status, headers, body = rates.ask(order["currency"])
    if status == 429:
        return Retry(after=f"{headers['Retry-After']}s", reason="the service asked for a pause")
    if status != 200:
        # What is raised is retried with the stage's backoff, and ends in the dead letter if it comes to that.
        raise RuntimeError(f"the service answered {status}: {body['error']}")
    return {**order, "euros": round(order["amount"] * body["rate"], 2)}


def open_rates(stage: StageContext) -> RatesClient:
    """Open the connection; called once per stage worker, for `ctx.resource`."""
    return RatesClient("127.0.0.1", stage.values["port"])


class RatesClient:
    """One connection, for all calls; `ctx.resource` closes it when the stage ends."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = HTTPConnection(host, port, timeout=5)  # shorter than the stage's `timeout`

    def ask(self, currency: str) -> tuple[int, dict[str, str], dict[str, Any]]:
        try:
            self._connection.request("GET", f"/rates/{currency}")
            response = self._connection.getresponse()
            return response.status, dict(response.getheaders()), json.loads(response.read())
        except (OSError, HTTPException):
            self._connection.close()  # the next call opens it again
            raise

    def close(self) -> None:
        self._connection.close()
