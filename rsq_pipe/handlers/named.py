"""Named: imports an object of the user's code by its module and name."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from inspect import isfunction
from pathlib import Path
from typing import Any

from rsq_pipe.error_text import full_text
from rsq_pipe.errors import HandlerNotFoundError
from rsq_pipe.handlers.project import import_from
from rsq_pipe.suggestion import suggest


def named(module: str, name: str, root: Path, is_such: Callable[[Any], bool] = isfunction) -> Any:
    """
    Import an object by its name in a module.

    Args:
        module: Dotted, as in `orders.handlers`.
        name: A name in that module, without dots.
        root: The project root, put first on the import path.
        is_such: Returns whether another object of the module may have been meant.

    Raises:
        HandlerNotFoundError: It does not exist, or its module fails on import; the message has a fix.
    """
    try:
        holder = import_from(root, module)
    except ImportError as exc:
        raise _import_error(module, root, exc) from exc
    found = getattr(holder, name, None)
    if found is None:
        names = [one for one, value in vars(holder).items() if is_such(value) and not one.startswith("_")]
        fix = suggest(name, names, otherwise=f"define it in {_short(holder.__file__, root)}")
        raise HandlerNotFoundError(f"{name!r} is not in module {module!r}", fix)
    return found


def _import_error(module: str, root: Path, exc: ImportError) -> HandlerNotFoundError:
    cause = exc.__cause__ or exc
    missing = (cause.name or "") if isinstance(cause, ModuleNotFoundError) else ""
    if missing and f"{module}.".startswith(f"{missing}."):
        return _no_module(missing, root)
    place = _place(cause, root)
    if missing:
        what = f"module {module!r} needs {missing!r}, which is not installed{place}"
        return HandlerNotFoundError(what, f"install {missing!r}, or put it under the project root")
    words = cause.msg if isinstance(cause, SyntaxError) else full_text(cause)
    what = f"module {module!r} fails when it is imported: {words}{place}"
    return HandlerNotFoundError(what, "correct the module")


def _no_module(missing: str, root: Path) -> HandlerNotFoundError:
    *above, last = missing.split(".")
    siblings = [
        path.stem for path in root.joinpath(*above).glob("*") if path.is_dir() or path.suffix == ".py"
    ]
    names = [name for name in siblings if name.isidentifier()]
    where = "/".join(above) or f"the project root, {root.name}"
    fix = suggest(last, names, otherwise="modules are found from the nearest folder with a pyproject.toml")
    return HandlerNotFoundError(f"there is no module {missing!r} in {where}", fix)


def _place(exc: BaseException, root: Path) -> str:
    """Return the last line of the user's own code that an exception passed through."""
    if isinstance(exc, SyntaxError):
        return f" ({_short(exc.filename, root)}:{exc.lineno})"
    frames = traceback.extract_tb(exc.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(root)]
    # rsq_pipe itself may be under the root: in its own checkout, or in a .venv there.
    own = [f for f in inside if "site-packages" not in f.filename and not f.filename.startswith(_OURSELVES)]
    return f" ({_short(own[-1].filename, root)}:{own[-1].lineno})" if own else ""


_OURSELVES = str(Path(__file__).parents[1])


def _short(file: str | None, root: Path) -> str:
    path = Path(file or "?")
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
