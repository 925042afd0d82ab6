"""A template says where a key stands in a text."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.spec.key_template import parse_template
from rsq_pipe.spec.record_key import RecordKey

ONE = RecordKey("customer_id", (("customer_id",),))
TWO = RecordKey("l, c.id", (("l",), ("c", "id")))


@pytest.mark.parametrize(
    ("text", "key", "value", "spelt"),
    [
        ("customers:{id}", ONE, "7", "customers:7"),
        ("{x}", ONE, "a b", "a b"),
        ("{x}:{x}", ONE, "7", "7:7"),
        ("{{customers}}:{id}", ONE, "7", "{customers}:7"),
        ("{id}-{l}", TWO, ("FR", "7"), "7-FR"),
        ("c:{id}", RecordKey("upper(x)"), "7", "c:7"),
    ],
)
def test_a_key_is_put_in(text: str, key: RecordKey, value: Any, spelt: str) -> None:
    assert parse_template(text, key).spell(value) == spelt


def test_each_part_may_be_quoted() -> None:
    assert (
        parse_template("{l}/{id}", TWO).spell(("a/", "b"), lambda part: part.replace("/", "%2F")) == "a%2F/b"
    )
