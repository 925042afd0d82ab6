"""Function: what a user's module has under a name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rsq_pipe.handlers.project import import_from

NAME = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"


def check_name(text: str) -> str:
    """Refuse what names no function; ValueError."""
    if not re.match(NAME, text):
        raise ValueError(f"{text!r} names no function; write module:function, such as feeds:github")
    return text


def named(text: str, root: Path) -> Any:
    """
    Find it.

    Raises:
        ValueError: It is not there; the message says why.
    """
    module, _, name = text.partition(":")
    try:
        return getattr(import_from(root, module), name)
    except ImportError as exc:
        raise ValueError(str(exc)) from exc
    except AttributeError:
        raise ValueError(f"module {module!r} has no {name!r}; mend `call`") from None
