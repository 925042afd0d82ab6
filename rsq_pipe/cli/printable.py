"""Printable: foreign text made harmless to a terminal, and without secrets."""

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
    """Do as `printable`, and escape line ends too: a name with one could pass for a line of ours."""
    return printable(text).replace("\n", "\\n")


def on_terminal(raw: bytes) -> bytes:
    """Escape what a terminal acts on in raw bytes, except line ends."""
    return escaped(raw.decode(errors="backslashreplace")).encode()


def json_line(value: dict[str, Any]) -> str:
    """Write an object on one line, in ASCII: a terminal shows whatever it holds and acts on nothing."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f") + "\n"


def remark(text: str) -> None:
    """Tell people something that is not the command's output."""
    click.echo(printable(text), err=True)


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()
