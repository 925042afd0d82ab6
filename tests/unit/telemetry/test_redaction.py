"""What is masked, however it is spelt."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from rsq_pipe.telemetry.redaction import MASK, Redactor

SECRET = 'p4ss "word"/+\\n'


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.add([SECRET])
    return redactor


@pytest.mark.parametrize(
    "spelt",
    [SECRET, quote(SECRET, safe=""), json.dumps(SECRET), repr(SECRET), json.dumps(repr(SECRET))],
    ids=["bare", "url", "json", "repr", "repr-in-json"],
)
def test_secret_is_masked_however_it_is_escaped(redactor: Redactor, spelt: str) -> None:
    text = redactor.redact(f"before {spelt} after")

    assert "p4ss" not in text
    assert MASK in text
    assert text.startswith("before ")
    assert text.endswith(" after")


def test_lines_of_a_secret_are_masked_one_by_one() -> None:
    redactor = Redactor()
    redactor.add(["-----KEY-----\nMIIEvQ\nIBADAN\n"])

    assert redactor.redact("  MIIEvQ") == f"  {MASK}"


def test_longer_secret_is_masked_whole_where_another_begins_it() -> None:
    redactor = Redactor()
    redactor.add(["abcd", "abcdefgh"])

    assert redactor.redact("abcdefgh") == MASK


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://me:hunter2@host:6379/0", f"redis://me:{MASK}@host:6379/0"),
        ("rediss://:hunter2@host", f"rediss://:{MASK}@host"),
        ("see https://host/a:b@c and redis://host:6379", "see https://host/a:b@c and redis://host:6379"),
    ],
)
def test_password_of_any_url_is_masked_and_nothing_else_of_it(text: str, masked: str) -> None:
    assert Redactor().redact(text) == masked


def test_password_of_a_known_url_is_masked_alone_too() -> None:
    redactor = Redactor()
    redactor.add_url("redis://me:hun%2Fter2@host")

    assert redactor.redact("hun/ter2 and hun%2Fter2") == f"{MASK} and {MASK}"


def test_value_too_short_to_be_told_from_text_is_left() -> None:
    redactor = Redactor()
    redactor.add(["", "a", "on"])

    assert redactor.redact("a pipeline goes on") == "a pipeline goes on"
