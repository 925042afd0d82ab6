"""Registry: the connectors there are, by kind and type; a new connector is one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

Kind = Literal["source", "sink"]
Model: TypeAlias = type[BaseModel]


@dataclass(frozen=True, slots=True)
class Connector:
    """
    Hold one connector.

    Args:
        kind: What it is.
        type: Its name in a pipeline file.
        options: The model of its settings.
        connect: `connect(options, stage=..., root=...)` makes the Source or Sink; None where the
            runner does the work itself (`stream`).
    """

    kind: Kind
    type: str
    options: Model
    connect: Callable[..., Any] | None


@cache
def connector(kind: Kind, type: str) -> Connector:  # noqa: A002  the word users write
    """
    Find a connector; imports its file and no other.

    Args:
        kind: `source` or `sink`.
        type: Its name: a file in this package's `sources` or `sinks`, or an entry point in the group
            `rsq_pipe.sources` or `rsq_pipe.sinks` that names such a module.

    Raises:
        LookupError: There is none of this type, or an installed one cannot be imported.
    """
    module = _builtin(kind, type) or _installed(kind, type)
    options = getattr(module, "Options", None)
    if module is None or options is None:
        raise LookupError(f"there is no {kind} of type {type!r}")
    return Connector(kind, type, options, getattr(module, "connect", None))


@cache
def types(kind: Kind) -> tuple[str, ...]:
    """List the types there are, in alphabetical order; imports all of them."""
    return tuple(sorted(name for name in set(_names(kind)) if _is_connector(kind, name)))


def _names(kind: Kind) -> Iterator[str]:
    package = import_module(_package(kind))
    yield from (module.name for module in iter_modules(package.__path__))
    yield from (point.name for point in entry_points(group=_package(kind)))


def _is_connector(kind: Kind, name: str) -> bool:
    """Tell a connector from a file that connectors share."""
    try:
        connector(kind, name)
    except LookupError:
        return False
    return True


def _package(kind: Kind) -> str:
    return f"rsq_pipe.{kind}s"


def _builtin(kind: Kind, name: str) -> ModuleType | None:
    path = f"{_package(kind)}.{name}"
    return import_module(path) if name.isidentifier() and find_spec(path) else None


def _installed(kind: Kind, name: str) -> ModuleType | None:
    for point in entry_points(group=_package(kind), name=name):
        try:
            loaded: ModuleType = point.load()
        except Exception as exc:
            raise LookupError(f"{kind} type {name!r} is installed, but fails when imported: {exc}") from exc
        return loaded
    return None
