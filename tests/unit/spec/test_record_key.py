"""A key in a file is a field, a list of fields, or an expression."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.spec.document import Document
from rsq_pipe.spec.record_key import RecordKey, read_key


def read(value: Any) -> RecordKey:
    document = Document("p.yaml")
    key = read_key(document, value, ("key",))
    assert key is not None, document.problems
    return key


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("id", (("id",),)),
        (" id ", (("id",),)),
        ("customer.id", (("customer", "id"),)),
        ("_größe2.x", (("_größe2", "x"),)),
        (["a-b"], (("a-b",),)),
        (["a", "b.c", r"d\.e"], (("a",), ("b", "c"), ("d.e",))),
    ],
)
def test_names_are_fields(text: Any, fields: Any) -> None:
    assert read(text).fields == fields
    assert read(text).expression is None


@pytest.mark.parametrize("text", ["a-b", "upper(id)", "'x'", "record['unit price']", "5"])
def test_anything_else_is_an_expression(text: str) -> None:
    key = read(text)

    assert key.fields == ()
    assert key.expression is not None
    assert key.names == ()
