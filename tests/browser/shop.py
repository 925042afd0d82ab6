"""A shop's pipeline, run: orders with a price, and some that failed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.command_line import rsq_pipe
from tests.support.project import Project

HANDLERS = """
    def check(order: dict) -> dict:
        if order["currency"] is None:
            raise ValueError(f"order {order['n']} has no currency")
        if order["price"] < 0:
            raise ValueError(f"order {order['n']} costs {order['price']}")
        return order
"""
STAGES = """
    read:
      source: {type: jsonl, path: in.jsonl}
    check:
      call: handlers:check
    price:
      map: {total: "price * quantity"}
    route:
      route:
        - {to: large, when: "total >= 100"}
        - {to: small, otherwise: true}
    large:
      from: route.large
      sink: {type: jsonl, path: large.jsonl}
    small:
      from: route.small
      sink: {type: jsonl, path: small.jsonl}
"""


def order(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "price": 2.5 + number % 70,
        "quantity": 1 + number % 3,
        "currency": "EUR",
        "customer": f"c{number % 9}",
    } | fields


class Shop:
    """
    Run a shop's pipeline.

    Args:
        root: An empty folder.
        name: The pipeline's name.
        url: The server.
    """

    def __init__(self, root: Path, name: str, url: str) -> None:
        self.project = Project(root, name)
        self.name = name
        self._url = url
        self.project.spec(STAGES)
        self.project.handlers(HANDLERS)

    def orders(self, numbers: Iterable[int], **fields: Any) -> None:
        """Write orders, all with some fields alike."""
        for number in numbers:
            self.project.records([number], **order(number, **fields))

    def run(self, *words: str) -> None:
        """Run it to its end; dead letters are no fault here."""
        done = rsq_pipe("run", self.project.path, "--redis", self._url, *words, cwd=self.project.root)
        assert done.returncode in {0, 4}, done.stderr

    def written(self) -> list[int]:
        """The orders that came through."""
        return sorted(self.project.numbers("large.jsonl") + self.project.numbers("small.jsonl"))
