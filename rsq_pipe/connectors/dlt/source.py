"""Source `dlt`: the items of a dlt source or resource, with dlt's state stored with the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rsq_pipe.connectors.dlt.options import ReadOptions as Options
from rsq_pipe.connectors.dlt.reading import DltSource
from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.errors import HandlerContractError


def connect(options: Options, *, stage: str, root: Path) -> DltSource:
    """Make the source of a stage; nothing is called yet."""
    return DltSource(options, stage=stage, root=root)


def check_function(function: Any, name: str, values: Mapping[str, Any]) -> None:
    """
    Refuse objects that cannot be called, with HandlerContractError.

    Its parameters and result show only when it is called: dlt passes it values from its own configuration.
    """
    del values
    if not callable(function) and not isinstance(function, Iterable):
        raise HandlerContractError(f"{name!r} is not a dlt source; name a function with `@dlt.source`")


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
    """Return the function as an endpoint; the system behind it is not tried."""
    source = DltSource(options, stage=stage, root=root)

    def reach(_: float) -> str:
        source.made()
        return "the function can be called; what it reads was not tried"

    return Endpoint(f"dlt source {options.call}", reach)


__all__ = ["Options", "check_function", "connect", "endpoint"]
