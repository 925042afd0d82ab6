"""Error text: what an exception says, in the two forms in which messages and dead letters quote it."""

from __future__ import annotations


def told(error: BaseException | str) -> str:
    """Name an error's type and say its message, also of one whose own message raises."""
    if isinstance(error, str):
        return error
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001  user code: an exception class of its own
        return f"{type(error).__name__}: (its message cannot be shown)"


def said(error: BaseException) -> str:
    """Say an error's message on one line; its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
