"""Extras: the command that installs the packages which only some pipelines need."""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path


def install(extra: str) -> str:
    """Return the command that installs an extra; in a clone `make install`, which installs all of them."""
    clone = _clone()
    return (
        f"pip install 'rsq-pipe[{extra}]'" if clone is None else f"make -C {shlex.quote(str(clone))} install"
    )


@cache
def _clone() -> Path | None:
    """Return the folder of the clone that this package is run from; None if it is installed."""
    folder = Path(__file__).parents[1]
    return folder if (folder / "Makefile").is_file() and (folder / "pyproject.toml").is_file() else None
