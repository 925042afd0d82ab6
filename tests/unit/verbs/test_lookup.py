"""lookup in a file: what a record gets of a row, and what becomes of one without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.errors import EvaluationError, MissingFieldError, TableError
from rsq_pipe.model.outcome import Failure, Outcomes, Reject
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.expressions.field_path import parse_path
from rsq_pipe.spec.record_key import RecordKey
from rsq_pipe.spec.stages.lookup import FileRef, Lookup
from rsq_pipe.verbs.lookup import UNKNOWN, FileLookup
from tests.unit.verbs.given import batch

CUSTOMERS = "id,name,country\n1,Ada,FR\n2,Bob,\n03,Cid,DE\n"


def by_field(*names: str) -> RecordKey:
    return RecordKey(", ".join(names), tuple(map(parse_path, names)))


def by_expression(text: str) -> RecordKey:
    return RecordKey(text, expression=compile_expression(text))


class Case:
    """A file beside a stage that looks records up in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def look(
        self,
        *records: Any,
        text: str = CUSTOMERS,
        file: str = "customers.csv",
        key: RecordKey | None = None,
        by: tuple[str, ...] = ("id",),
        table: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Outcomes:
        self.verb = await self.opened(text, file, key, by, table, **settings)
        return await self.verb.process(batch(*records))

    async def opened(
        self,
        text: str,
        file: str = "customers.csv",
        key: RecordKey | None = None,
        by: tuple[str, ...] = ("id",),
        table: dict[str, Any] | None = None,
        **settings: Any,
    ) -> FileLookup:
        (self.root / file).write_text(text)
        wanted = settings or {"name": "c"}
        lookup = Lookup(FileRef(file, **table or {}), key or by_field("cid"), by, **wanted)
        verb = FileLookup("enrich", lookup, self.root)
        await verb.open()
        return verb


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def emitted(outcomes: Outcomes) -> list[Any]:
    return outcomes.emitted[""].records if outcomes.emitted else []


def error(outcomes: Outcomes, place: int = 0) -> BaseException:
    failure = outcomes.failed[place]
    assert isinstance(failure, Failure)
    assert not failure.retryable
    return failure.error


async def test_a_record_gets_the_whole_row_under_a_name(case: Case) -> None:
    out = await case.look({"cid": "1", "n": 5}, {"cid": "2"}, name="customer")

    assert emitted(out) == [
        {"cid": "1", "n": 5, "customer": {"id": "1", "name": "Ada", "country": "FR"}},
        {"cid": "2", "customer": {"id": "2", "name": "Bob", "country": None}},
    ]
    assert not out.unknown


async def test_a_record_gets_columns_as_fields_under_names_of_their_own(case: Case) -> None:
    out = await case.look({"cid": "1", "n": 5}, fields={"name": "name", "country": "land"})

    assert emitted(out) == [{"cid": "1", "n": 5, "name": "Ada", "land": "FR"}]


@pytest.mark.parametrize(("key", "name"), [(1, "Ada"), (1.0, "Ada"), ("03", "Cid"), (3, None), ("1 ", None)])
async def test_text_and_number_are_one_key(case: Case, key: Any, name: Any) -> None:
    out = await case.look({"cid": key}, fields={"name": "name"})

    assert emitted(out) == [{"cid": key, "name": name}]


async def test_a_column_read_as_a_number_is_found_without_its_zeros(case: Case) -> None:
    out = await case.look(
        {"cid": "3"}, {"cid": 3}, table={"types": {"id": "int"}}, fields={"name": "name", "id": "i"}
    )

    assert [record["i"] for record in emitted(out)] == [3, 3]


async def test_true_is_another_key_than_one(case: Case) -> None:
    out = await case.look(
        {"cid": True}, {"cid": False}, text="id,name\n1,one\ntrue,yes\n", fields={"name": "name"}
    )

    assert [record["name"] for record in emitted(out)] == ["yes", None]
    assert out.unknown == {"false": [1]}


@pytest.mark.parametrize("missing", ["null", "reject", "drop"])
async def test_an_unknown_key_is_counted_whatever_becomes_of_its_record(case: Case, missing: Any) -> None:
    out = await case.look(
        {"cid": "9"}, {"cid": "1"}, {"cid": None}, {"cid": "9"}, {"cid": ""}, name="c", missing=missing
    )

    assert out.unknown == {"9": [0, 3], "null": [2], "(empty)": [4]}
    assert list(out.emitted[""].sources) == ([0, 1, 2, 3, 4] if missing == "null" else [1])
    assert out.dropped == ({UNKNOWN: [0, 2, 3, 4]} if missing == "drop" else {})
    assert list(out.failed) == ([0, 2, 3, 4] if missing == "reject" else [])
    if missing == "reject":
        assert out.failed[0] == Reject("stage 'enrich': customers.csv has no row for cid '9'")
    if missing == "null":
        assert emitted(out)[0] == {"cid": "9", "c": None}


async def test_all_columns_of_an_unknown_key_are_null(case: Case) -> None:
    out = await case.look({"cid": 9}, fields={"name": "name", "country": "land"})

    assert emitted(out) == [{"cid": 9, "name": None, "land": None}]
    assert list(emitted(out)[0]) == ["cid", "name", "land"], "in the order of those that are known"


async def test_a_field_inside_another_is_the_key(case: Case) -> None:
    out = await case.look(
        {"c": {"id": 1}}, {"c": None}, {"c": {}}, {"c": 5}, key=by_field("c.id"), fields={"name": "name"}
    )

    assert [record["name"] for record in emitted(out)] == ["Ada", None]
    assert out.unknown == {"null": [1]}, "what an earlier lookup did not find has no key"
    assert [str(error(out, place)) for place in (2, 3)] == [
        "stage 'enrich': lookup.key: field 'c.id' is not in the record"
    ] * 2


async def test_several_fields_are_the_key(case: Case) -> None:
    text = "land,id,name\nFR,1,Ada\nDE,1,Bob\n"

    out = await case.look(
        {"l": "DE", "i": 1},
        {"l": "DE", "i": 2},
        {"l": None, "i": 1},
        text=text,
        key=by_field("l", "i"),
        by=("land", "id"),
        fields={"name": "name"},
    )

    assert [record["name"] for record in emitted(out)] == ["Bob", None, None]
    assert out.unknown == {"DE, 2": [1], "null, 1": [2]}


async def test_an_expression_is_the_key(case: Case) -> None:
    key = by_expression("str(n % 2 + 1)")

    out = await case.look({"n": 4}, {"n": 5}, {"n": "x"}, {}, key=key, fields={"name": "name"})

    assert [record["name"] for record in emitted(out)] == ["Ada", "Bob"]
    assert isinstance(error(out, 2), EvaluationError)
    assert isinstance(error(out, 3), MissingFieldError)


@pytest.mark.parametrize(
    ("value", "why"), [([1], "a list is not a key"), ({"a": 1}, "a dict is not a key")], ids=["list", "dict"]
)
async def test_what_can_be_no_key_is_the_records_error(case: Case, value: Any, why: str) -> None:
    out = await case.look({"cid": value}, {"cid": 1})

    assert why in str(error(out))
    assert len(emitted(out)) == 1


async def test_a_record_without_the_key_is_its_own_error(case: Case) -> None:
    out = await case.look({"cid": "1"}, {"n": 1})

    assert isinstance(error(out, 1), MissingFieldError)
    assert len(emitted(out)) == 1


@pytest.mark.parametrize("settings", [{"name": "c"}, {"fields": {"name": "c"}}], ids=["as", "fields"])
async def test_a_name_that_is_taken_is_the_records_error(case: Case, settings: dict[str, Any]) -> None:
    out = await case.look({"cid": "1", "c": 5}, {"cid": "9", "c": 5}, {"cid": "1"}, **settings)

    assert "field 'c' is in the record already" in str(error(out))
    assert list(out.failed) == [0, 1]
    assert not out.unknown, "a record that fails for another reason is not counted"
    assert len(emitted(out)) == 1


@pytest.mark.parametrize("settings", [{"name": "cid"}, {"fields": {"name": "cid"}}], ids=["as", "fields"])
async def test_the_key_itself_may_be_replaced(case: Case, settings: dict[str, Any]) -> None:
    out = await case.look({"cid": "1", "n": 2}, {"cid": 1, "n": 2}, {"cid": "9", "n": 3}, **settings)

    first, second, third = emitted(out)
    assert (
        first
        == second
        == {"cid": {"id": "1", "name": "Ada", "country": "FR"} if "name" in settings else "Ada", "n": 2}
    )
    assert third == {"cid": None, "n": 3}
    assert list(first) == ["cid", "n"], "in its place"


@pytest.mark.parametrize("settings", [{"name": "c"}, {"fields": {"tags": "tags"}}], ids=["as", "fields"])
async def test_records_do_not_share_what_they_get(case: Case, settings: dict[str, Any]) -> None:
    text = '{"id": 1, "tags": [{"a": 1}]}\n'

    out = await case.look({"cid": 1}, {"cid": 1}, text=text, file="c.jsonl", **settings)

    one, other = emitted(out)
    assert one == other
    (one.get("c") or one)["tags"][0]["a"] = 2
    assert (other.get("c") or other)["tags"][0]["a"] == 1


async def test_flat_rows_are_not_shared_either(case: Case) -> None:
    out = await case.look({"cid": "1"}, {"cid": "1"}, name="c")

    one, other = emitted(out)
    one["c"]["name"] = "x"
    assert other["c"]["name"] == "Ada"


async def test_a_line_of_json_is_a_row_and_what_it_lacks_is_null(case: Case) -> None:
    text = '{"id": 1, "name": "Ada"}\n\n{"id": "2", "land": "FR"}\n'

    out = await case.look(
        {"cid": "1"}, {"cid": 2}, text=text, file="c.jsonl", fields={"name": "n", "land": "l"}
    )

    assert emitted(out) == [{"cid": "1", "n": "Ada", "l": None}, {"cid": 2, "n": None, "l": "FR"}]


async def test_a_table_of_tabs_is_read(case: Case) -> None:
    out = await case.look({"cid": 1}, text="id\tname\n1\tAda\n", file="c.tsv", table={"delimiter": "\t"})

    assert emitted(out) == [{"cid": 1, "c": {"id": "1", "name": "Ada"}}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("id,name\n1,Ada\n2,Bob\n1,Cid\n", "customers.csv:4: id '1' is already in line 2"),
        ('id,name\n1,"A\nda"\n2,Bob\n2,Cid\n', "customers.csv:5: id '2' is already in line 4"),
        ("id,name\n1,Ada\n2\n", "customers.csv:3: 1 field where the header has 2"),
        ("id,name\n1,Ada\n,Bob\n", "customers.csv:3: 'id' is empty; a row needs a key"),
        ('id,name\n1,"Ada\n', "customers.csv:2: a quote is opened and not closed"),
        ("", "customers.csv:1: the file does not begin with a header line"),
        ("id,name\n1,a\n2,b\n3,c\n4,d\n5,e\n", "customers.csv has more than `max_rows`, 4 rows"),
    ],
)
async def test_what_is_no_table_is_told_with_its_line(case: Case, text: str, why: str) -> None:
    with pytest.raises(TableError) as raised:
        await case.opened(text, table={"max_rows": 4})

    assert str(raised.value).startswith(f"stage 'enrich' cannot use its table: {why}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"id": 1}\n{"id": "1"}\n', "c.jsonl:2: id '1' is already in line 1"),
        ('{"id": 1}\n{"id": \n', "c.jsonl:2: it is not JSON"),
        ('{"id": 1}\n{"ids": 2}\n', "c.jsonl:2: there is no 'id'; did you mean 'ids'?"),
        ('{"id": [1]}\n', "c.jsonl:1: 'id': a list is not a key"),
        ('{"id": 1, "nmae": 2}\n', "c.jsonl has no column 'name'; did you mean 'nmae'?"),
        ("", "c.jsonl: the file is empty"),
    ],
)
async def test_what_are_no_rows_of_json_is_told_with_its_line(case: Case, text: str, why: str) -> None:
    with pytest.raises(TableError) as raised:
        await case.opened(text, "c.jsonl", fields={"name": "n"})

    assert str(raised.value).startswith(f"stage 'enrich' cannot use its table: {why}")


async def test_a_file_that_is_not_there_is_told(case: Case) -> None:
    verb = FileLookup("enrich", Lookup(FileRef("gone.csv"), by_field("cid"), ("id",), name="c"), case.root)

    with pytest.raises(TableError, match="no such file"):
        await verb.open()


async def test_what_somebody_in_the_process_holds_is_not_read_again(case: Case) -> None:
    verb = await case.opened(CUSTOMERS)
    (case.root / "customers.csv").unlink()

    other = FileLookup(
        "other", Lookup(FileRef("customers.csv"), by_field("cid"), ("id",), name="z"), case.root
    )
    await other.open()

    assert other.held is verb.held


async def test_no_field_is_looked_at_again_where_all_of_the_file_is_plain(case: Case) -> None:
    plain = await case.opened(CUSTOMERS)
    large = await case.opened(f"id,n\n1,{2**70}\n", "l.csv", table={"types": {"n": "int"}})

    assert plain.changed == frozenset()
    assert large.changed == {"c"}
