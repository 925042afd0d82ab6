"""Rig: what the suite must know of a source in order to try it; each has one, in a file of its name."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from rsq_pipe.connectors.table import SOURCES
from tests.contract.place import Case, Place

Why: TypeAlias = Mapping[Case, str]
Guarantee = Literal["exactly once", "at least once"]

WRONG = "wrong-one-5e1f"
"""A password that nobody has."""
NO_SERVER = "it asks no server"
NO_LOGIN = "it asks for no credentials; a right that is missing is told as what is missing"
ROWS = "a row is a record; a value that JSON has not is written as text"
FEW = 10
"""The good records beside a bad one."""


class Rig:
    """
    What one source reads, with numbered records in it.

    The records are {"n": NUMBER}, from 0 to `count` - 1.
    """

    type: ClassVar[str]
    """The source's, which is the name of the rig's file."""
    server: ClassVar[str]
    """What the tests talk to, as the documents name it."""
    pipeline_server: ClassVar[str] = "server"
    """The fixture that is the pipeline's own server, while nothing is away."""
    nothing: ClassVar[Why] = {}
    """Why there is nothing to try."""
    count: int = 320
    ends: ClassVar[bool] = True
    """Whether a run ends by itself when it has read them all."""
    stores: ClassVar[int] = 6
    """A fault comes after the source has stored records so often, at most."""
    again: ClassVar[int] = 0
    """Records at most that a fault brings a second time, where that is not `exactly once`."""
    patience: float = 1.0
    """Seconds that whoever sends a record waits for its answer, before sending it elsewhere."""
    bad_said: ClassVar[str] = ""
    """The reason and the place that the dead letter of the bad record names."""
    bad_id: ClassVar[str] = ""
    """Its record id, where that is not new each time."""
    login_said: ClassVar[str] = ""
    login_code: ClassVar[int] = 1
    missing_said: ClassVar[str] = ""
    missing_code: ClassVar[int] = 1
    """2, where it is looked for before anything is run."""

    def __init_subclass__(cls) -> None:
        cls.type = cls.__module__.rpartition(".")[2]

    def __init__(self, place: Place) -> None:
        self.place = place
        self.name = place.name.replace("-", "_")

    @property
    def options(self) -> Mapping[str, Any]:
        """The source's settings, but its type."""
        raise NotImplementedError

    def fill(self, numbers: Sequence[int]) -> None:
        """Have records be there, more than before; or begin to send them, until `close`."""

    def fill_with_a_bad_one(self) -> None:
        """Have `FEW` records be there, and a bad one among them."""
        raise NotImplementedError

    def environ(self) -> dict[str, str]:
        """Give the variables of the next process."""
        return {}

    def wrong_environ(self) -> dict[str, str]:
        """The same, where the password is `WRONG`."""
        return {}

    @property
    def login_options(self) -> Mapping[str, Any]:
        """The settings with which it logs in."""
        return self.options

    @property
    def missing_options(self) -> Mapping[str, Any]:
        """The settings that name what is not there."""
        raise NotImplementedError

    def key(self, record: Mapping[str, Any]) -> Hashable:
        """Say which of the records it is."""
        return int(record["n"])

    def expected(self, found: set[Any]) -> set[Any]:
        """Say which records should be there."""
        return set(range(self.count))

    def is_complete(self, found: set[Any]) -> bool:
        """Tell whether all records are there."""
        return self.expected(found) <= found

    def stop(self) -> None:
        """Have the server be away, or stand still."""

    def start(self) -> None:
        """Have it back."""

    def close(self) -> None:
        """Take away what would be in the way of others; twice is as good as once."""


def rigs() -> dict[str, type[Rig]]:
    """Find the rig of each source of the table."""
    there = {path.stem for path in Path(__file__).parent.glob("*.py")}
    return {
        kind: import_module(f"tests.contract.sources.{kind}").Origin
        for kind in sorted(SOURCES)
        if kind in there
    }


def guarantee(kind: str) -> Guarantee:
    """Say what the product promises of a source; a condition is one that its rig keeps."""
    promise = SOURCES[kind].promise
    if promise.startswith("exactly once"):
        return "exactly once"
    assert promise.startswith("at least once"), (
        f"source {kind} promises nothing that can be checked: {promise}"
    )
    return "at least once"
