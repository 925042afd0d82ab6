"""Document: a pipeline file's values, each with its place, and the problems found in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from msgspec import Struct, field

from rsq_pipe.redaction import redact
from rsq_pipe.spec.problem import Problem, Severity

Path_: TypeAlias = tuple[str | int, ...]


class Place(NamedTuple):
    """A place in a file; both count from 1."""

    line: int
    column: int


class Document(Struct):
    """
    Hold a file's values, and their places; collect the problems found in it.

    Args:
        file: The name given by the user.
        text: Its text, unchanged.
        value: Mappings, lists and scalars, with variables replaced.
        values: Path -> the place where the value starts.
        keys: Path -> the place where its key starts.
        replaced: Path of a scalar that held a variable -> its text before conversion to a number or the like.
        operate: Whether the pipeline is only operated, not run. What it needs to run (handlers, tables,
            schemas, packages, secrets of its stages) may be missing or broken, and is not checked.
        connect: Whether the servers and services it names are contacted; if not, their secrets need not be
            set.
        call: Whether its handlers are called; if not, nor need theirs.
        stage_secrets: Whether secrets of stages have to be set at all.
    """

    file: str
    text: str = ""
    value: Any = None
    values: dict[Path_, Place] = field(default_factory=dict)
    keys: dict[Path_, Place] = field(default_factory=dict)
    replaced: dict[Path_, str] = field(default_factory=dict)
    operate: bool = False
    connect: bool = True
    call: bool = True
    stage_secrets: bool = True
    secrets: tuple[str, ...] = ()
    _problems: dict[Path_, Problem] = field(default_factory=dict)
    _warnings: list[Problem] = field(default_factory=list)

    def needs_secret(self, path: Path_) -> bool:
        """Return whether a secret used here has to be set."""
        if path[:1] != ("stages",):
            return self.connect
        # Arguments of handlers are used by these, wherever they are called.
        needed = self.stage_secrets and not self.operate
        return needed and (self.connect or (self.call and path[2:3] == ("with",)))

    def report(
        self,
        path: Path_,
        what: str,
        fix: str = "",
        *,
        key: bool = False,
        at: Place | None = None,
        severity: Severity = "error",
        part: str = "",
    ) -> None:
        """
        Add a problem; only the first error of each path is kept, since later ones follow from it.

        Args:
            path: Its subject; if the file has no such path, the nearest one above gives the place.
            key: Whether to point at the key rather than the value.
            at: Another place to point at.
            part: The part of the value it is about, if each part may have its own problem.
        """
        line, column = at or self._place(path, key=key)
        what, fix = self._redact(what), self._redact(fix)
        problem = Problem(self.file, line, column, spell(path), what, fix, severity)
        if severity == "warning":
            self._warnings.append(problem)
        else:
            self._problems.setdefault((*path, part) if part else path, problem)

    def report_error(self, path: Path_, error: Exception, *, key: bool = False) -> None:
        """Add an error whose message says what is wrong and, after a semicolon, what to do."""
        what, _, fix = str(error).partition("; ")
        self.report(path, what, fix, key=key)

    def report_unnamed(self, fields: Iterable[str], path: Path_) -> None:
        """Report a mapping at a path that makes a field without a name."""
        if "" in fields:
            self.report((*path, ""), "a field has no name", "write a name in place of ''", key=True)

    def spell_place(self, path: Path_) -> str:
        """Format the place of a key for messages: `orders.yaml:12:5: stages.load.sink`."""
        line, column = self._place(path, key=True)
        return f"{self.file}:{line}:{column}: {spell(path)}"

    def failed(self, path: Path_) -> bool:
        """Return whether an error was reported at or below a path."""
        return any(known[: len(path)] == path for known in self._problems)

    def inside(self, path: Path_, text: str, at: int) -> Place | None:
        """Find the place in the file of a character of a text; None if it is written differently there."""
        place = self.values.get(path)
        if place is None:
            return None
        written = self.text.split("\n")[place.line - 1][place.column - 1 :]
        quote = 1 if written[:1] in {"'", '"'} else 0
        return Place(place.line, place.column + quote + at) if written[quote:].startswith(text) else None

    @property
    def problems(self) -> list[Problem]:
        """All problems, in order of place."""
        return sorted({*self._problems.values(), *self._warnings})

    def _place(self, path: Path_, *, key: bool) -> Place:
        for length in range(len(path), -1, -1):
            first, second = (self.keys, self.values) if key else (self.values, self.keys)
            place = first.get(path[:length]) or second.get(path[:length])
            if place:
                return place
        return Place(1, 1)

    def _redact(self, text: str) -> str:
        for secret in filter(None, self.secrets):
            text = text.replace(secret, "[secret]")
        return redact(text)  # it also finds a secret in other spellings, such as its repr


def spell(path: Path_) -> str:
    """Format a path for users: `stages.route.route[0].when`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part or repr(part)}" for part in path)
    return text.removeprefix(".")
