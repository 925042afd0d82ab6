"""Logs: structlog for us and for handlers, JSON when not on a terminal; no secrets, no control characters."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from rsq_pipe.telemetry.redaction import redact

LogFormat = Literal["auto", "console", "json"]
FORMATS: tuple[LogFormat, ...] = ("auto", "console", "json")

_EventDict = MutableMapping[str, Any]


def set_up(style: LogFormat = "auto", *, level: int = logging.INFO) -> None:
    """
    Send log lines to standard error; standard output belongs to the `stdout` sink.

    One line is one event: what records, handlers and exceptions bring along can neither forge a second line
    nor move a terminal's cursor, and secrets are masked in whatever they would have come out as.

    Args:
        style: `console` for people, `json` for machines, `auto` to choose by whether it is a terminal.
        level: What is logged, in `logging`'s numbers.
    """
    console = sys.stderr.isatty() if style == "auto" else style == "console"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
    ]
    rendering: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, _redact]
    if console:
        # Not its own exception formatter: that shows local variables, which are records and secrets.
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
        rendering += [_escape, renderer]
    else:
        rendering += [structlog.processors.JSONRenderer(ensure_ascii=True, default=repr)]
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
            # Last of all once more, on the line as it is printed: secrets also come within other values.
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering, _redacted],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


class _StandardError(logging.Handler):
    """Write to what is standard error now: while a live table is drawn, that keeps lines clear of it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001  as every handler of `logging` does
            self.handleError(record)


def _redact(_: Any, __: str, event: _EventDict) -> _EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


def _redacted(_: Any, __: str, line: str | bytes | _EventDict) -> str:
    return redact(str(line))


def _escape(_: Any, __: str, event: _EventDict) -> _EventDict:
    for key, value in event.items():
        if key == "exception":
            event[key] = "\n".join(f"    {_printable(line)}" for line in str(value).split("\n"))
        elif isinstance(value, str):
            event[key] = _printable(value)
    return event


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()
