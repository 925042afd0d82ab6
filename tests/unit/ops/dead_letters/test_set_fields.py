"""Fields that a replay sets in payloads."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.ops.dead_letters.set_fields import set_fields

ORDER = {"country": "DE", "customer": {"name": "ada"}, "a.b": 1, "lines": [1]}


@pytest.mark.parametrize(
    ("name", "value", "changed"),
    [
        ("country", "FR", {"country": "FR"}),
        ("customer.name", "bob", {"customer": {"name": "bob"}}),
        ("a.b", 2, {"a.b": 2}),
    ],
)
@pytest.mark.parametrize("add", [False, True])
def test_a_field_that_is_there_is_set(name: str, value: Any, changed: dict[str, Any], *, add: bool) -> None:
    assert set_fields(ORDER, {name: value}, add=add) == {**ORDER, **changed}
    assert ORDER["customer"] == {"name": "ada"}


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("note", {"note": 1}),
        ("customer.age", {"customer": {"name": "ada", "age": 1}}),
        ("ship.to", {"ship": {"to": 1}}),
        (r"x\.y", {"x.y": 1}),
    ],
)
def test_a_field_that_is_not_there_is_put_in_only_where_that_was_asked_for(
    name: str, added: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="it has no field"):
        set_fields(ORDER, {name: 1}, add=False)
    assert set_fields(ORDER, {name: 1}, add=True) == {**ORDER, **added}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("countyr", "it has no field 'countyr' to set; did you mean 'country'? --add puts in"),
        ("customer.nmae", "it has no field 'customer.nmae' to set; did you mean 'customer.name'?"),
        ("zzz", "it has no field 'zzz' to set; --add puts in what is not there"),
        ("lines.price", "'lines' is no mapping, so 'lines.price' cannot be set; use --edit"),
    ],
)
def test_what_cannot_be_set_is_told_with_what_may_be_meant(name: str, says: str) -> None:
    with pytest.raises(ValueError) as raised:
        set_fields(ORDER, {name: 1}, add=False)

    assert str(raised.value).startswith(says)
