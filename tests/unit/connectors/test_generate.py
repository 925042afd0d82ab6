"""Generated records are the same in every run, and a run goes on at the number it had come to."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rsq_pipe.connectors.generate.source import GenerateSource, Options
from rsq_pipe.spec.expressions.expression import compile_expression

FIELDS = {"id": "n", "total": "round(random * 100, 2)", "again": "random", "double": "total * 2"}


def source(fields: dict[str, str] = FIELDS, **options: Any) -> GenerateSource:
    compiled = {key: compile_expression(text) for key, text in fields.items()}
    return GenerateSource(Options(**options).model_copy(update={"fields": compiled}))


def records(
    position: str = "", size: int = 7, made: GenerateSource | None = None, **options: Any
) -> list[Any]:
    chunks = (made or source(**options)).read("numbers", position, size)
    return [record for chunk in chunks for record in chunk.records]


def test_records_are_made_by_number_and_are_the_same_each_time() -> None:
    first = records(count=20)

    assert [record["id"] for record in first] == list(range(20))
    assert first == records(count=20, size=3)
    assert first != records(count=20, seed=1)
    assert all(record["double"] == record["total"] * 2 for record in first)
    assert all(record["again"] != record["total"] / 100 for record in first)
    assert len({record["again"] for record in first}) == 20


def test_random_numbers_are_even_from_0_up_to_1() -> None:
    drawn = [record["again"] for record in records(count=10_000, size=1000)]

    assert all(0 <= one < 1 for one in drawn)
    assert [sum(tenth / 10 <= one < (tenth + 1) / 10 for one in drawn) > 850 for tenth in range(10)] == [
        True
    ] * 10


def test_a_run_goes_on_at_the_number_it_had_come_to() -> None:
    chunk = next(iter(source(count=20).read("numbers", "", 7)))

    assert chunk.position == "7"
    assert [*chunk.records, *records("7", count=20)] == records(count=20)
    assert chunk.offsets[0] == "0"
    assert records("20", count=20) == []


def test_a_record_for_which_an_expression_has_no_value_is_broken_and_the_others_are_not() -> None:
    made = source({"id": "n", "share": "1 / (n - 2)"}, count=4)

    arrivals = [one for chunk in made.read("numbers", "", 10) for one in chunk.arrivals]

    assert [one.offset for one in arrivals] == ["0", "1", "2", "3"]
    assert arrivals[2].data is None
    assert arrivals[2].error == "record 2: field 'share': a division by zero"


def test_no_more_a_second_are_made_than_the_rate_says() -> None:
    began = time.monotonic()

    assert len(records(count=20, rate="100/s")) == 20

    assert time.monotonic() - began > 0.18


def test_a_source_that_waits_ends_when_it_is_closed() -> None:
    made = source(rate="1/h")
    chunks = iter(made.read("numbers", "", 7))
    assert len(next(chunks).records) == 1
    made.close()
    assert list(chunks) == []


@pytest.mark.parametrize("options", [{"count": 0}, {"fields": {}}, {"rate": "0/s"}])
def test_settings_that_would_make_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Options(**options)


def test_how_much_has_been_made_is_known_where_it_is_known_how_many_there_are() -> None:
    counted, endless = source(count=20), source()
    for made in (counted, endless):
        chunks = made.read("numbers", "", 5)
        next(chunks)
        next(chunks)

    assert (counted.share(), endless.share()) == (0.25, None)


def test_a_process_that_does_not_read_knows_no_share_and_one_that_goes_on_counts_earlier_records() -> None:
    standing_by, going_on = source(count=10), source(count=10)
    chunks = going_on.read("numbers", "6", 2)

    assert standing_by.share() is None
    next(chunks)
    assert going_on.share() == 0.6
    next(chunks)
    assert going_on.share() == 0.8
