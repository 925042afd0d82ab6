"""Error text: an exception as text, in the two forms used by messages and dead letters."""

from __future__ import annotations


def full_text(error: BaseException | str) -> str:
    """Return an error's type and message, even if formatting its message raises."""
    if isinstance(error, str):
        return error
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001  user code: a custom exception class
        return f"{type(error).__name__}: (its message cannot be shown)"


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
