"""Logs: structlog for us and for handlers, JSON when not on a terminal; no secrets, no control characters."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Literal

import structlog

from rsq_pipe.redaction import redact

LogFormat = Literal["auto", "console", "json"]
FORMATS: tuple[LogFormat, ...] = ("auto", "console", "json")

_EventDict = MutableMapping[str, Any]


def set_up(
    style: LogFormat = "auto", *, level: int = logging.INFO, process: Callable[[], int | None] = lambda: None
) -> None:
    """
    Send log lines to standard error; standard output belongs to the `stdout` sink.

    One line is one event: nothing in records, handlers or exceptions can forge a second line or move a
    terminal's cursor, and secrets are masked in any form in which they would have been printed.

    Args:
        style: `console` for people, `json` for machines, `auto` for `console` only on a terminal.
        level: The lowest level that is logged, as a number of `logging`.
        process: The index of this process, read for each line: after a fork the answer changes.
    """

    def numbered(_: Any, __: str, event: _EventDict) -> _EventDict:
        if (number := process()) is not None:
            event.setdefault("process", number)
        return event

    console = sys.stderr.isatty() if style == "auto" else style == "console"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        numbered,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
    ]
    rendering: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, _redact]
    if console:
        # Not structlog's own exception formatter: it shows local variables, which are records and secrets.
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0, sort_keys=False)
        rendering += [_escape, renderer]
    else:
        rendering += [structlog.processors.JSONRenderer(_json)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            # Once more at the very end, on the line as printed: secrets also occur inside other values.
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering, _redacted],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


class _StandardError(logging.Handler):
    """Write to the current standard error: while a live table is drawn, that keeps lines clear of it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception as exc:  # noqa: BLE001  as every handler of `logging` does
            self._own_up(record, exc)

    def _own_up(self, record: logging.LogRecord, exc: Exception) -> None:
        """Report in one line that a line could not be written, without parts that a terminal acts on."""
        where = f"{record.pathname}:{record.lineno}"
        what = f"a log line of {where} cannot be written: {type(exc).__name__}: {_spelt(exc, str)}"
        with contextlib.suppress(OSError, ValueError):  # standard error is gone
            sys.stderr.write(f"{_printable(redact(what))}\n")


def _redact(_: Any, __: str, event: _EventDict) -> _EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


def _redacted(_: Any, __: str, line: str | bytes | _EventDict) -> str:
    return redact(str(line))


def _escape(_: Any, __: str, event: _EventDict) -> _EventDict:
    shown: _EventDict = {}
    for key, value in event.items():
        if key in {"exception", "stack"}:
            shown[key] = "\n".join(f"    {_printable(line)}" for line in str(value).split("\n"))
        elif key in _PLAIN:
            shown[key] = _printable(str(value))
        else:
            shown[_printable(str(key))] = _Shown(value)
    return shown


_PLAIN = {"event", "level", "timestamp", "logger", "logger_name"}
"""Keys that the renderer prints unchanged."""

_MARKED = frozenset(" \t=\r\n\"'")
"""Characters because of which a value is quoted, as in structlog."""


class _Shown:
    """A value as the renderer should print it, regardless of its own `repr`."""

    def __init__(self, value: object) -> None:
        plain = isinstance(value, str) and value.isprintable() and not _MARKED & set(value)
        self._text = str(value) if plain else _printable(_spelt(value, repr))

    def __repr__(self) -> str:
        return self._text


def _spelt(value: object, how: Callable[[object], str]) -> str:
    """Turn a handler's value into text; the value's own code may fail in that."""
    try:
        return how(value)
    except Exception as exc:  # noqa: BLE001  whatever that code raises
        return f"<{type(value).__name__}, which cannot be shown: {type(exc).__name__}>"


def _json(event: _EventDict, **_: Any) -> str:
    def spelt(value: object) -> str:
        return _spelt(value, repr)

    try:
        return json.dumps(event, default=spelt)
    except (TypeError, ValueError, RecursionError):  # keys that JSON does not allow, or a value within itself
        plain = {str(key): value if isinstance(value, str) else spelt(value) for key, value in event.items()}
        return json.dumps(plain)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()
