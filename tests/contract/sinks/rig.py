"""Rig: what the suite must know of a sink in order to try it; each sink has one, in a file of its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from rsq_pipe.connectors.table import SINKS
from tests.contract.place import Case, Place

Why: TypeAlias = Mapping[Case, str]
Record: TypeAlias = Mapping[str, Any]
Guarantee = Literal["exactly once", "at least once"]

WRONG = "wrong-one-5e1f"
"""A password that nobody has."""
NO_SERVER = "it asks no server"
NO_LOGIN = "it asks for no credentials; a right that is missing is told as what is missing"


class Rig:
    """
    One target, with the numbers that stand in it.

    The records are {"n": NUMBER, "pad": TEXT}. Whoever makes a rig has made what it writes to.
    """

    type: ClassVar[str]
    """The sink's, which is the name of the rig's file."""
    server: ClassVar[str]
    """What the tests talk to, as the documents name it."""
    pipeline_server: ClassVar[str] = "server"
    """The fixture that is the pipeline's own server."""
    nothing: ClassVar[Why] = {}
    """Why there is nothing to try."""
    rate: ClassVar[str] = "600/s"
    """How fast records come; slow enough that kills fall in between, for a target that is faster."""
    batch: ClassVar[int] = 20
    """Records that are written at once at most, so that no more come a second time for each fault."""
    alone: ClassVar[bool] = False
    """Whether a paused process may keep every other one out, so that nobody goes on beside it."""
    away_said: ClassVar[str] = "trying again"
    back_said: ClassVar[str] = "works again after"
    bad: ClassVar[Record] = {}
    """A record that cannot be written."""
    bad_said: ClassVar[str] = ""
    login_said: ClassVar[str] = ""
    missing_said: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        cls.type = cls.__module__.rpartition(".")[2]

    def __init__(self, place: Place) -> None:
        self.place = place
        self.make()

    def make(self) -> None:
        """Make what it writes to; nothing, where the sink does."""

    @property
    def environ(self) -> dict[str, str]:
        """The variables that its options name, as secrets."""
        return {}

    @property
    def wrong_environ(self) -> dict[str, str]:
        """The same, where the password is `WRONG`."""
        return {}

    @property
    def options(self) -> dict[str, Any]:
        """The sink's settings, but its type."""
        raise NotImplementedError

    @property
    def login_options(self) -> dict[str, Any]:
        """The same, with credentials."""
        return self.options

    @property
    def missing_options(self) -> dict[str, Any]:
        """The same, of a target that is not there."""
        raise NotImplementedError

    def found(self) -> list[int]:
        """List the numbers in the target, one as often as it stands there."""
        raise NotImplementedError

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Have the server refuse wrong credentials, where it does not always."""
        yield

    def stop(self) -> None:
        """Have the server be away, or stand still."""

    def start(self) -> None:
        """Have it back."""


def rigs() -> dict[str, type[Rig]]:
    """Find the rig of each sink of the table."""
    there = {path.stem for path in Path(__file__).parent.glob("*.py")}
    return {
        kind: import_module(f"tests.contract.sinks.{kind}").Target for kind in sorted(SINKS) if kind in there
    }


def guarantee(kind: str) -> Guarantee:
    """Say what the product promises of a sink; dlt's merging by id is exactly once, for who reads it."""
    promise = SINKS[kind].promise
    if promise.startswith(("exactly once", "each record once")):
        return "exactly once"
    assert promise.startswith("at least once"), f"sink {kind} promises nothing that can be checked: {promise}"
    return "at least once"
