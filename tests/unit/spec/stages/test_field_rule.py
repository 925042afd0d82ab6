"""Rules of fields: what they are read as, and which values they take."""

from __future__ import annotations

import pickle
from time import perf_counter
from typing import Any

import pytest

from rsq_pipe.spec.stages.field_rule import FieldRule, RuleError, parse_rule

WRONG = object()


def read(rule: FieldRule, value: Any) -> Any:
    """What goes on of a value; WRONG where it is none of the type or breaks a constraint."""
    try:
        found = rule.kind.read(value)
    except ValueError:
        return WRONG
    return WRONG if rule.broken(found) else found


@pytest.mark.parametrize(
    ("rule", "value", "goes_on"),
    [
        ("int", 12, 12),
        ("int", 12.0, 12),
        ("int", "12", 12),
        ("int", " -7 ", -7),
        ("int", "12.0", WRONG),
        ("int", 12.5, WRONG),
        ("int", "1_000", WRONG),
        ("int", True, WRONG),
        ("int", float("nan"), WRONG),
        ("int", "", WRONG),
        ("float", 1, 1.0),
        ("float", "1e3", 1000.0),
        ("float", "nan", WRONG),
        ("float", float("inf"), WRONG),
        ("float", 10**400, WRONG),
        ("float", False, WRONG),
        ("decimal", "12.50", "12.50"),
        ("decimal", 12.5, 12.5),
        ("decimal", "12,50", WRONG),
        ("bool", True, True),
        ("bool", "No", False),
        ("bool", 1, WRONG),
        ("str", "12", "12"),
        ("str", 12, WRONG),
        ("date", "2026-01-31", "2026-01-31"),
        ("date", "2026-02-30", WRONG),
        ("date", "2026-01-31T09:30:00Z", WRONG),
        ("date", 20260131, WRONG),
        ("datetime", "2026-01-31T09:30:00Z", "2026-01-31T09:30:00Z"),
        ("datetime", "2026-01-31 25:00", WRONG),
        ("list", [], []),
        ("list", "[]", WRONG),
        ("dict", {"a": 1}, {"a": 1}),
        ("dict", [], WRONG),
        ("any", object, object),
    ],
    ids=repr,
)
def test_a_type_takes_what_means_the_same_and_nothing_else(rule: str, value: Any, goes_on: Any) -> None:
    found = read(parse_rule(rule), value)

    assert found is WRONG if goes_on is WRONG else (found == goes_on and type(found) is type(goes_on))


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("float >= 0", 0, -0.1),
        ("float>=0 and<1", 0.5, 1),
        ("int == 1", "1", 2),
        ("int <= -1", -1, 0),
        ("decimal < 0.3", "0.1", "0.30"),
        ("date >= 2026-01-01", "2026-01-01", "2025-12-31"),
        ("datetime < 2026-01-01T00:00:00+01:00", "2025-12-31T22:59", "2025-12-31T23:00"),
        ("datetime < 2026-01-01", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"),
        ("str in [new, paid, 'sent back']", "sent back", "old"),
        ("int in [1, 2]", "2", 3),
        ("decimal in [1.50]", "1.5", "1.51"),
        ("bool in [true]", "yes", False),
        ("str matches [A-Z]{5}", "ALFKI", "ALFKIS"),
        ("str matches '[a-z]+ (and|or) [a-z]+' and length < 20", "this and that", "this and"),
        ('str matches "a|b"', "b", "ab"),
        ("str length >= 1 and length <= 3", "abc", ""),
        ("list length == 2", [1, 2], [1]),
        ("dict length > 0", {"a": 1}, {}),
        ("str matches .*", "", "\ud800"),
    ],
)
def test_a_constraint_holds_or_not(rule: str, good: Any, bad: Any) -> None:
    parsed = parse_rule(rule)

    assert read(parsed, good) is not WRONG
    assert read(parsed, bad) is WRONG


def test_all_constraints_that_do_not_hold_are_told() -> None:
    rule = parse_rule("str? in [a, b] and length < 2 and matches '[a-z]*'")

    assert rule.optional
    assert rule.broken("CC") == "must be in [a, b] and must have a length < 2 and must match [a-z]*"


@pytest.mark.parametrize(
    ("rule", "at"),
    [("", 0), ("  ", 0), ("strng", 0), ("int >", 5), ("int > x", 6), ("int in [1 2]", 10), ("any > 1", 4)],
)
def test_a_mistake_is_told_with_its_place(rule: str, at: int) -> None:
    with pytest.raises(RuleError) as raised:
        parse_rule(rule)

    assert raised.value.at == at


def test_a_pattern_takes_time_in_proportion_to_the_text() -> None:
    rule = parse_rule("str matches (a+)+b")  # Python's own engine would take years

    began = perf_counter()
    found = read(rule, "a" * 10_000)

    assert found is WRONG
    assert perf_counter() - began < 1


def test_a_rule_is_the_same_after_pickling() -> None:
    rule = pickle.loads(pickle.dumps(parse_rule("str? matches a+")))

    assert rule == parse_rule("str? matches a+")
    assert rule.broken("b")
