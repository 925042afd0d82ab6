"""Printable: makes any text safe for a terminal, and removes secrets."""

from __future__ import annotations

import json
from typing import Any

import rich_click as click

from rsq_pipe.redaction import redact


def printable(text: str) -> str:
    """Mask secrets, and escape what a terminal acts on: control, invisible and direction characters."""
    return escaped(redact(text))


def escaped(text: str) -> str:
    """Escape what is not printable, except line ends; nothing is removed."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escape(char) for char in text)


def on_one_line(text: str) -> str:
    """Do the same as `printable`, and escape line ends: a name with one could look like a line of ours."""
    return printable(text).replace("\n", "\\n")


def on_terminal(raw: bytes) -> bytes:
    """Escape bytes that a terminal would act on, except line ends."""
    return escaped(raw.decode(errors="backslashreplace")).encode()


def json_line(value: dict[str, Any]) -> str:
    """Format an object on one line, in ASCII: a terminal shows all of it and acts on nothing."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f") + "\n"


def remark(text: str) -> None:
    """Print a message that is not part of the command's output."""
    click.echo(printable(text), err=True)


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()
