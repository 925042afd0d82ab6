"""Answers over HTTP: how long a service asks to be left alone for, and what a message quotes."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from rsq_pipe.connectors.http.answers import LONGEST_WAIT, cut, is_transient, retry_after


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("0", 0.0), ("", 0.0), ("soon", 0.0), ("-5", 0.0), ("1e9", 0.0), ("999999", LONGEST_WAIT)],
)
def test_retry_after_is_a_number_of_seconds_or_nothing(text: str, seconds: float) -> None:
    assert retry_after({"Retry-After": text}) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert 55 < retry_after({"Retry-After": formatdate(time.time() + 60, usegmt=True)}) <= 61
    assert retry_after({"Retry-After": formatdate(time.time() - 60, usegmt=True)}) == 0


def test_a_body_is_quoted_in_one_line_and_not_whole() -> None:
    assert cut(b" no\n such\tproduct \x1b[31m") == "no such product \N{REPLACEMENT CHARACTER}[31m"
    assert len(cut(b"x" * 10_000)) == 1_003


def test_what_says_later_is_not_what_says_no() -> None:
    answers = (200, 400, 404, 408, 422, 425, 429, 500, 502, 503, 504)

    assert [status for status in answers if is_transient(status)] == [408, 425, 429, 502, 503, 504]
