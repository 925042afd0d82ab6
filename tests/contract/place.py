"""Place: where a rig puts what it makes, and how much the suites do there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

Case = Literal["kill", "woken", "away", "bad", "login", "missing"]
CASES: tuple[Case, ...] = ("kill", "woken", "away", "bad", "login", "missing")
"""
kill: its process is killed, at moments that a seed chooses. woken: a paused process is woken beside its
successor. away: what it talks to is stopped for ten seconds. bad: a bad record among good ones. login: wrong
credentials. missing: what it is to read or write is not there.
"""

STRIKES = int(os.environ.get("STRIKES", "3"))
SEED = os.environ.get("SEED", "1")
OUTAGE = 10.0


class Place(NamedTuple):
    """
    Where a rig puts what it makes.

    Args:
        root: An empty folder, which becomes that of the project.
        name: A name that no other test has.
        fixture: Gives the server of a name; see conftest.py.
    """

    root: Path
    name: str
    fixture: Callable[[str], Any]
