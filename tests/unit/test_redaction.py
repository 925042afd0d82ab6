"""What is masked, however it is spelt."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from rsq_pipe.redaction import MASK, Redactor

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
        ("redis://me:hun@ter@2@host/0", f"redis://me:{MASK}@host/0"),
        ("redis+cluster://me:hunter2@one:1,two:2", f"redis+cluster://me:{MASK}@one:1,two:2"),
        (
            "at redis+sentinel://me:hunter2@one,two/orders/1?sentinel_password=hunter3&db=1.",
            f"at redis+sentinel://me:{MASK}@one,two/orders/1?sentinel_password={MASK}&db=1.",
        ),
        ("unix://me:hunter2@/run/r.sock?db=1", f"unix://me:{MASK}@/run/r.sock?db=1"),
        ("'unix:///run/r.sock?db=1&password=hun%26ter2'", f"'unix:///run/r.sock?db=1&password={MASK}'"),
        ("/run/r.sock?Password=hunter2 is away", f"/run/r.sock?Password={MASK} is away"),
        (
            "rediss://h?ssl_password=hunter2&ssl_ca_certs=ca",
            f"rediss://h?ssl_password={MASK}&ssl_ca_certs=ca",
        ),
        ("https://host/?access_token=hunter2#top", f"https://host/?access_token={MASK}#top"),
        ("a?b=password=1 && tokens=2", "a?b=password=1 && tokens=2"),
        ("see https://host/a:b@c and redis://host:6379", "see https://host/a:b@c and redis://host:6379"),
    ],
)
def test_password_of_any_url_is_masked_and_nothing_else_of_it(text: str, masked: str) -> None:
    assert Redactor().redact(text) == masked


def test_password_of_a_known_url_is_masked_alone_too() -> None:
    redactor = Redactor()
    redactor.add_url("redis://me:hun%2Fter2@host")

    assert redactor.redact("hun/ter2 and hun%2Fter2") == f"{MASK} and {MASK}"


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:hun%2Fter2@host",
        "redis://:hun%2Fter2@host:6379/0",
        "rediss+cluster://me:hun%2Fter2@one:1,[::1]:2",
        "redis+sentinel://one,two/orders?sentinel_password=hun%2Fter2",
        "unix:///run/r.sock?password=hun%2Fter2&db=1",
        "unix://me:hun%2Fter2@/run/r.sock",
        "redis://host?password=hun/ter2",
    ],
)
def test_passwords_of_a_servers_url_are_masked_wherever_they_stand_in_it(url: str) -> None:
    redactor = Redactor()
    redactor.add_url(url)

    assert redactor.redact("hun/ter2 and hun%2Fter2") == f"{MASK} and {MASK}"
    assert "ter2" not in Redactor().redact(f"cannot reach {url}")


def test_value_too_short_to_be_told_from_text_is_left() -> None:
    redactor = Redactor()
    redactor.add(["", "a", "on"])

    assert redactor.redact("a pipeline goes on") == "a pipeline goes on"
