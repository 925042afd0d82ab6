"""Which dead letters `--where` chooses."""

from __future__ import annotations

import pytest

from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.ops.dead_letters.selection import DeadLetterName, Selection, Sieve, parse_name
from rsq_pipe.spec.expressions.expression import compile_expression
from tests.unit.ops.dead_letter_entries import letter

DEAD = letter(
    b'{"total": 12, "lines": [{"sku": "x"}], "dlq": "mine", "unit price": 3}',
    rid="read:in.jsonl:7",
    dlq_reason="handler_error",
    dlq_error="ValueError: bad",
    dlq_traceback="...",
    dlq_attempts="3",
    dlq_at="1700000000.000",
)


def sieve(where: str) -> Sieve:
    return Sieve(Selection(where=compile_expression(where)), Payloads("json"))


@pytest.mark.parametrize(
    "where",
    [
        "total > 10",
        "lines[0]['sku'] == 'x'",
        "dlq['reason'] == 'handler_error' and dlq['error_type'] == 'ValueError'",
        "dlq['stage'] == 'price' and dlq['attempts'] == 3",
        "dlq['at'] >= '2023-11-14'",
        "startswith(headers['rsq-rid'], 'read:')",
        "payload['dlq'] == 'mine'",
        "record['unit price'] == 3",
    ],
)
def test_an_expression_sees_payload_headers_and_failure(where: str) -> None:
    assert sieve(where).passes(DEAD)


@pytest.mark.parametrize("text", ["x", "1", "1-", "A/1-1", f"{2**64}-0", f"0-{2**64}", "\u0661-\u0661"])
def test_what_can_be_no_entry_id_names_no_dead_letter(text: str) -> None:
    assert parse_name(text) is None
    assert parse_name(f"price/{2**64 - 1}-0") == DeadLetterName(f"{2**64 - 1}-0", "price")


@pytest.mark.parametrize(
    "where", ["missing == 1", "not missing", "headers['tenant'] == 'x'", "total > 'text'", "1 / 0 == 1"]
)
def test_a_dead_letter_without_what_is_asked_for_does_not_match_and_is_remembered(where: str) -> None:
    asked = sieve(where)

    assert not asked.passes(DEAD)
    assert asked.passed_over == 1
    assert asked.why.startswith("price/1700000000000-5: ")


def test_bytes_that_are_no_record_can_be_chosen_by_their_failure() -> None:
    dead = letter(b"\xff", dlq_reason="decode_error")

    assert sieve("dlq['reason'] == 'decode_error'").passes(dead)
    assert not sieve("total > 1").passes(dead)


def test_the_limit_counts_what_matches() -> None:
    asked = Sieve(Selection(where=compile_expression("total == 12"), limit=2), Payloads("json"))

    passed = [asked.passes(dead) for dead in (letter(b'{"total":1}'), DEAD, DEAD, DEAD)]

    assert passed == [False, True, True, False]
    assert asked.is_full


def test_a_dead_letter_is_named_by_its_id_with_or_without_its_stage() -> None:
    assert parse_name("17-0") == DeadLetterName("17-0")
    assert parse_name("price/17-0") == DeadLetterName("17-0", "price")


@pytest.mark.parametrize("text", ["17", "price", "17-0-1", "Price/17-0", "-", "read:in.jsonl:7"])
def test_what_is_no_entry_id_names_no_dead_letter(text: str) -> None:
    assert parse_name(text) is None
