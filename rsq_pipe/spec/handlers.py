"""Handlers: say what is wrong with a user's function before a record meets it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from inspect import isclass, isfunction
from io import StringIO
from pathlib import Path
from typing import Any

from rsq_pipe.connectors.table import connector
from rsq_pipe.error_text import told
from rsq_pipe.errors import HandlerContractError, HandlerNotFoundError
from rsq_pipe.handlers.handler import describe
from rsq_pipe.handlers.model import maker
from rsq_pipe.handlers.project import import_from
from rsq_pipe.spec.fields import HANDLER_PATTERN
from rsq_pipe.spec.graph import ConnectorRef, HandlerRef
from rsq_pipe.suggestion import suggest


def parse_handler(text: str) -> HandlerRef:
    """
    Read `module:function`.

    Raises:
        ValueError: It is not of that form.
    """
    if not re.match(HANDLER_PATTERN, text):
        raise ValueError(f"{text!r} is not a handler; write module:function, such as orders.handlers:price")
    module, _, function = text.partition(":")
    return HandlerRef(module, function, text)


def check_handler(handler: HandlerRef, root: Path) -> str:
    """
    Import a handler from the project root, and see whether it can be called as one.

    Returns:
        What its module printed when it was imported.

    Raises:
        HandlerNotFoundError: There is none, or its module fails, or it takes the wrong parameters.
    """
    return _check(handler, root, isfunction, lambda function: describe(function, handler.text))


def function_of(ref: ConnectorRef) -> HandlerRef | None:
    """Name the user's function that a source or sink calls; None where it calls none."""
    found = connector(ref.kind, ref.type)
    return parse_handler(ref.options.call) if found.check is not None else None


def check_function(ref: ConnectorRef, function: HandlerRef, root: Path) -> str:
    """Import the function of a source or sink, and see whether it can be called as one, as above."""
    check = connector(ref.kind, ref.type).check
    assert check is not None
    return _check(function, root, isfunction, lambda found: check(found, function.text, ref.options.with_))


def check_model(model: HandlerRef, root: Path) -> str:
    """Import a class from the project root, and see whether records can be made into it, as above."""
    return _check(model, root, isclass, lambda found: maker(found, model.text))


def _check(
    handler: HandlerRef, root: Path, is_such: Callable[[Any], bool], accept: Callable[[Any], object]
) -> str:
    output = StringIO()
    try:
        with redirect_stdout(output):
            module = import_from(root, handler.module)
    except ImportError as exc:
        raise _import_error(handler, root, exc) from exc
    found = getattr(module, handler.function, None)
    if found is None:
        names = [name for name, value in vars(module).items() if is_such(value)]
        fix = suggest(handler.function, names, otherwise=f"define it in {_short(module.__file__, root)}")
        raise HandlerNotFoundError(f"{handler.function!r} is not in module {handler.module!r}", fix)
    try:
        accept(found)
    except HandlerContractError as exc:
        what, _, fix = str(exc).partition("; ")
        raise HandlerNotFoundError(what, fix) from exc
    return output.getvalue()


def _import_error(handler: HandlerRef, root: Path, exc: ImportError) -> HandlerNotFoundError:
    cause = exc.__cause__ or exc
    missing = (cause.name or "") if isinstance(cause, ModuleNotFoundError) else ""
    if missing and f"{handler.module}.".startswith(f"{missing}."):
        return _no_module(missing, root)
    place = _place(cause, root)
    if missing:
        what = f"module {handler.module!r} needs {missing!r}, which is not installed{place}"
        return HandlerNotFoundError(what, f"install {missing!r}, or put it under the project root")
    words = cause.msg if isinstance(cause, SyntaxError) else told(cause)
    what = f"module {handler.module!r} fails when it is imported: {words}{place}"
    return HandlerNotFoundError(what, "mend the module")


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
    """Name the last line of the user's own code that an exception passed through."""
    if isinstance(exc, SyntaxError):
        return f" ({_short(exc.filename, root)}:{exc.lineno})"
    frames = traceback.extract_tb(exc.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(root)]
    # rsq_pipe itself may stand under the root: in its own checkout, or in a .venv there.
    own = [f for f in inside if "site-packages" not in f.filename and not f.filename.startswith(_OURSELVES)]
    return f" ({_short(own[-1].filename, root)}:{own[-1].lineno})" if own else ""


_OURSELVES = str(Path(__file__).parents[1])


def _short(file: str | None, root: Path) -> str:
    path = Path(file or "?")
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
