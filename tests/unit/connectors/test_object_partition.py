"""The values of fields in the names of parts, and the names themselves."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rsq_pipe.connectors.objects.naming import Naming
from rsq_pipe.connectors.objects.partition import NO_VALUE, divide
from rsq_pipe.connectors.objects.progress import Progress, digest
from rsq_pipe.connectors.table import connector
from rsq_pipe.model.batch import Batch

BY_COUNTRY = {"url": "s3://lake/country={country}/{part}.jsonl", "partition_by": "country"}


def parts_of(*values: Any) -> tuple[dict[tuple[str, ...], list[int]], dict[int, Exception]]:
    batch = Batch([{"v": value} for value in values], [f"r:{n}" for n in range(len(values))])
    return divide(batch, range(len(values)), ["v"])


def test_records_are_divided_by_value_in_their_order() -> None:
    found, failed = parts_of(*("no", "cl", "no", 7, True, None, ""))

    assert found == {("no",): [0, 2], ("cl",): [1], ("7",): [3], ("true",): [4], (NO_VALUE,): [5, 6]}
    assert failed == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("São Paulo", "São%20Paulo"),
        ("a/b", "a%2Fb"),
        ("50%", "50%25"),
        ("..", "%2E."),
        ("2026-11-28T12:00", "2026-11-28T12%3A00"),
        ("line\nbreak", "line%0Abreak"),
        (1.5, "1.5"),
        (10**30, str(10**30)),
        (False, "false"),
    ],
)
def test_what_a_path_would_take_for_something_else_is_encoded(value: Any, text: str) -> None:
    assert [*parts_of(value)[0]] == [(text,)]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([1], "field 'v' is a list, which cannot be in the name of a part"),
        ({"a": 1}, "field 'v' is a dict, which"),
        (float("nan"), "field 'v' is nan, which"),
        ("x" * 201, "field 'v' has 201 bytes in the name of a part, where 200 are allowed"),
        ("/" * 67, "field 'v' has 201 bytes"),
        ("\ud800", "field 'v' is text that is not Unicode"),
    ],
)
def test_a_value_that_cannot_be_in_a_name_fails_its_record_alone(value: Any, told: str) -> None:
    found, failed = parts_of("no", value)

    assert found == {("no",): [0]}
    assert str(failed[1]).startswith(told)


def test_a_record_without_the_field_fails_alone() -> None:
    found, failed = divide(Batch([{"v": 1}, {"w": 1}], ["r:1", "r:2"]), [0, 1], ["v"])

    assert (found, str(failed[1])) == ({("1",): [0]}, "there is no field 'v', which `partition_by` names")


def test_names_have_the_values_and_their_numbers_are_read_back() -> None:
    naming = Naming("o/{date}/c={country}/k={kind}/{part}.jsonl", ("country", "kind"))

    name = naming.name(12, 1_769_900_000, ("no", "%7Bpart%7D"))
    assert name == "o/2026-01-31/c=no/k=%7Bpart%7D/00000012.jsonl"
    assert naming.number(name) == 12
    assert naming.number("o/2026-01-31/c=no/00000012.jsonl") is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"partition_by": "land"}, "`url` has no place for 'land' of `partition_by`; write {land} there"),
        (
            {"partition_by": []},
            "there is no {country}; use {part}, {date}, {hour}, or `partition_by: ",
        ),
        (
            {"url": "s3://lake/{date}/{part}.jsonl", "partition_by": "date"},
            "`partition_by` names the field 'date', and {date} is something else here; give the",
        ),
        ({"url": "s3://lake/{country}/{country}/{part}.jsonl"}, "the path needs one `{part}`"),
        ({"url": "s3://lake/{country}/{part}.parquet"}, "its columns must be known"),
        ({"url": "s3://lake/{country}/{part}.csv"}, "`format: {type: csv, fields: ...}`"),
        ({"max_partitions": 0}, "greater than 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        connector("sink", "objects").options(**{**BY_COUNTRY, **given})
    assert told in str(caught.value)


def test_of_the_parts_begun_under_a_number_those_that_exist_are_known() -> None:
    begun = Progress(7).begun_under({"a/7": ["r:1", "r:2"], "b/7": ["r:3"]}, 100)

    assert [attempt.part for attempt in begun.attempts] == [digest(["r:1", "r:2"]), digest(["r:3"])]
    decided = begun.decided(begun.attempts[1:])
    assert (decided.next, decided.attempts, sorted(decided.known())) == (8, (), ["r:3"])
    assert Progress.load(begun.dump()) == begun


def test_progress_that_was_stored_before_parts_had_names_is_read() -> None:
    stored = '{"next":7,"at":100,"attempts":[["abc","c-jH"]]}'

    (attempt,) = Progress.load(stored).attempts
    assert (attempt.part, attempt.name) == ("abc", "")
