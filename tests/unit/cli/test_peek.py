"""What `peek` prints of a record, for people and for machines."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from msgspec.structs import replace

from rsq_pipe.cli.output.printable import json_line
from rsq_pipe.cli.peek import drawn
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.ops.peek import Filter, Peeked, document
from rsq_pipe.spec.expressions.expression import compile_expression

WAITING = Peeked("waiting", "{orders}:read", "17-0", "read:4", {"tenant": "a"}, b'{"n":4,"text":"\xc3\xa4"}')
PENDING = replace(WAITING, state="pending", consumer="price_host_1-f00d", deliveries=2, idle_ms=1_200)
RETRY = replace(WAITING, state="retry", stream="{orders}:price:retry", id="", due_in=12.34)
PAYLOADS = Payloads("json")


def test_a_record_is_drawn_with_its_place_its_headers_and_what_it_holds() -> None:
    assert drawn(WAITING, PAYLOADS).plain.splitlines() == [
        "read:4  waiting",
        "  {orders}:read 17-0",
        "  tenant: a",
        '  {"n": 4, "text": "ä"}',
    ]


def test_who_has_a_pending_record_is_told() -> None:
    first = drawn(PENDING, PAYLOADS).plain.splitlines()[0]

    assert first == "read:4  pending, delivery 2, price_host_1-f00d, idle 1,200 ms"


def test_when_a_retry_is_due_is_told() -> None:
    assert drawn(RETRY, PAYLOADS).plain.splitlines()[:2] == [
        "read:4  retry, due in 12.3s",
        "  {orders}:price:retry",
    ]
    assert drawn(replace(RETRY, due_in=-0.1), PAYLOADS).plain.startswith("read:4  retry, due\n")


def test_nothing_that_stands_in_a_record_reaches_the_terminal_unescaped() -> None:
    evil = replace(WAITING, rid="read\x1b[31m", headers={"a\nb": "\x1b]0;x\x07"}, raw=b"\x1b[2J\nno json\xff")

    text = drawn(evil, PAYLOADS).plain

    assert text.isprintable() is False  # line ends, and these alone
    assert all(char.isprintable() or char == "\n" for char in text)
    assert len(text.splitlines()) == 4


def test_the_json_of_a_record_is_ascii_and_has_always_the_same_keys() -> None:
    keys = {"state", "stream", "id", "rid", "headers", "consumer", "deliveries", "idle_ms", "due_in"}
    lines = [json_line(document(found, PAYLOADS)) for found in (WAITING, PENDING, RETRY)]

    assert all(line.isascii() and line.count("\n") == 1 for line in lines)
    assert [set(json.loads(line)) for line in lines] == [keys | {"payload"}] * 3
    assert json.loads(lines[0])["payload"] == {"n": 4, "text": "ä"}
    assert json.loads(lines[2])["due_in"] == 12.34


def test_bytes_that_are_no_record_are_shown_as_they_are() -> None:
    found = document(replace(WAITING, raw=b"\xff{"), PAYLOADS)

    assert (found["raw"], found["text"]) == ("/3s=", "\\xff{")
    assert "payload" not in found


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("n > 3", True),
        ("n > 4", False),
        ("headers['tenant'] == 'a'", True),
        ("entry['state'] == 'due'", False),
    ],
)
def test_where_sees_fields_headers_and_the_entry(text: str, passes: bool) -> None:
    assert Filter(compile_expression(text), PAYLOADS).passes(WAITING) is passes


def test_records_that_cannot_be_judged_are_passed_over_and_counted() -> None:
    sieve = Filter(compile_expression("price > 3"), PAYLOADS)

    assert not sieve.passes(WAITING)
    assert sieve.passed_over == 1
    assert sieve.why.startswith("read:4: ")


def test_help_names_the_command_and_loads_no_redis() -> None:
    script = (
        "import sys\nfrom rsq_pipe.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\nassert 'redis' not in sys.modules"
    )

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert "Show the records that wait for a stage." in found
