"""Destinations: whether dlt can know one of a name, told without an import of dlt, which takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from rsq_pipe.suggestion import suggest


def check_destination(name: str) -> str:
    """
    Let through what dlt has a folder for, what names a class, and what somebody configured.

    Raises:
        ValueError: dlt has none of this name.
    """
    own = _own()
    if not own or name in own or "." in name or _may_be_configured(name):
        return name
    raise ValueError(f"dlt has no destination {name!r}; {suggest(name, sorted(own))}")


def _own() -> set[str]:
    """Name the destinations that dlt brings; none where it is not installed, or has other folders."""
    spec = find_spec("dlt")
    places = spec.submodule_search_locations or () if spec is not None else ()
    found = (file for place in places for file in Path(place).glob("destinations/impl/*/factory.py"))
    return {file.parent.name for file in found}


def _may_be_configured(name: str) -> bool:
    """Tell whether a variable, a file of dlt's or a plugin may say what is meant by a name."""
    if f"DESTINATION__{name.upper()}__DESTINATION_TYPE" in os.environ or "DLT_PROJECT_DIR" in os.environ:
        return True
    plugins = (point for point in entry_points(group="dlt") if point.name != "dlt")
    return any(name in text for text in _settings()) or any(plugins)


def _settings() -> Iterator[str]:
    """Read the files that dlt is configured by: of the current folder, and of the user."""
    for folder in (Path(".dlt"), Path(os.environ.get("DLT_DATA_DIR") or "~/.dlt").expanduser()):
        for file in folder.glob("*.toml"):
            yield file.read_text(errors="replace")
