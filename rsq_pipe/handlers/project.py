"""Project: imports handler modules from the project root."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from threading import RLock
from types import ModuleType

from rsq_pipe.error_text import full_text

# Modules imported from a project root, by name. Two projects validated or tested in one process may
# both have a `handlers.py`; Python itself would give the second one the first one's module.
_origins: dict[str, Path] = {}
_lock = RLock()


def import_from(root: Path, module: str) -> ModuleType:
    """
    Import a module as if Python had been started in `root`.

    Raises:
        ImportError: The module does not exist, or raised an error on import, which is the cause.
    """
    root = root.resolve()
    with _lock:
        _put_first(root)
        _forget_shadowed(root)
        before = set(sys.modules)
        try:
            return importlib.import_module(module)
        except KeyboardInterrupt:
            raise
        # A module may raise anything, including SystemExit, and none of it may end `validate`.
        except BaseException as exc:
            raise ImportError(f"module {module!r} cannot be imported: {full_text(exc)}", name=module) from exc
        finally:
            _origins.update({name: root for name in set(sys.modules) - before if _stands_in(name, root)})


def imported_files() -> set[Path]:
    """List the files of all modules imported from a project root."""
    files = (getattr(sys.modules.get(name), "__file__", None) for name in _origins)
    return {Path(file) for file in files if file}


def _put_first(root: Path) -> None:
    path = str(root)
    if sys.path[:1] != [path]:
        sys.path[:] = [path, *(entry for entry in sys.path if entry != path)]
    importlib.invalidate_caches()


def _forget_shadowed(root: Path) -> None:
    """Remove modules of another project's root that this root has under the same name."""
    for name, origin in list(_origins.items()):
        top = name.partition(".")[0]
        if origin != root and not _stands_in(name, root) and _has(root, top):
            sys.modules.pop(name, None)
            del _origins[name]


def _has(root: Path, top: str) -> bool:
    return (root / top).is_dir() or (root / f"{top}.py").is_file()


def _stands_in(name: str, root: Path) -> bool:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    return file is not None and Path(file).resolve().is_relative_to(root)
