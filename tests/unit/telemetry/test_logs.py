"""Log lines: one a thing that happened, harmless, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from rsq_pipe import redaction
from rsq_pipe.telemetry.logs import LogFormat, set_up

NASTY = "first\n12:00:00 [info     ] forged \x1b[2J\r\x9b31m\u202e"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str], style: LogFormat) -> list[str]:
    set_up(style)
    log = structlog.get_logger("test").bind(stage="work", trace_id="abc")
    try:
        raise ValueError(NASTY)
    except ValueError:
        log.exception(NASTY, rid=NASTY)
    return capsys.readouterr().err.splitlines()


def test_console_line_cannot_be_forged_nor_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(capsys, "console")

    assert all(line.isprintable() for line in found)
    assert not any(line.startswith("12:00:00") for line in found)
    assert "first\\n12:00:00" in found[0]


def test_json_line_is_one_line_with_everything_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = lines(capsys, "json")

    assert line.isascii()
    document = json.loads(line)
    assert (document["stage"], document["trace_id"], document["rid"]) == ("work", "abc", NASTY)
    assert document["level"] == "error"
    assert "ValueError" in document["exception"]


class Odd:
    def __repr__(self) -> str:
        return f"<{NASTY}>"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError(NASTY)


def within_itself() -> dict[str, object]:
    value: dict[str, object] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.parametrize(
    "value", [Odd(), [Odd()], {NASTY: 1, (1, 2): Odd(), 3: NASTY}, Broken(), within_itself(), NASTY.encode()]
)
def test_keys_and_values_of_any_kind_are_one_harmless_line(
    capsys: pytest.CaptureFixture[str], style: LogFormat, value: object
) -> None:
    set_up(style)

    structlog.get_logger("test").info("said", **{NASTY: value}, plain="as it is")

    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert line.isprintable()
    assert "said" in line
    assert "as it is" in line
    assert "first" in line
    if style == "json":
        assert NASTY in json.loads(line)


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_line_that_cannot_be_written_is_told_in_one_harmless_line(
    capsys: pytest.CaptureFixture[str], style: LogFormat
) -> None:
    set_up(style)

    logging.getLogger("other").warning("%s and %s", Broken(), NASTY)

    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert line.isprintable()
    assert "test_logs.py" in line
    assert "cannot be written: RuntimeError" in line


@pytest.mark.parametrize("style", ["console", "json"])
def test_secrets_are_masked_wherever_they_stand(capsys: pytest.CaptureFixture[str], style: LogFormat) -> None:
    redaction.add(["canary-of-the-logs"])
    set_up(style)
    log = structlog.get_logger("test")
    local = "canary-of-the-logs"
    event = f"with {local}"
    try:
        raise ValueError({"deep": [local]})
    except ValueError:
        log.exception(event, value={"deep": local})
    logging.getLogger("other").warning("redis://me:hunter2@host %s", local)

    said = capsys.readouterr().err
    assert "canary-of-the-logs" not in said
    assert "hunter2" not in said
