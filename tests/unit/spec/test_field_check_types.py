"""Text that is used like a number is found before any record is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.spec.field_checking import END, SOLD, STREAM, told


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "orders.csv").write_text("id,country,total\n1,DE,3\n")
    (tmp_path / "t.csv").write_text("id,totl,contry,a\n")
    return tmp_path


@pytest.fixture
def sold(root: Path) -> Path:
    (root / "sold.csv").write_text("id,total,qty,note,code\n1,9.5,2,x,007\n2,10.5,,y,010\n")
    return root


@pytest.mark.parametrize(
    ("work", "problem"),
    [
        (
            "filter: qty == 2",
            "5:18: warning: stages.work.filter: 'qty' is text here, by the header of sold.csv, so it never",
        ),
        ("filter: qty == 2", "so it never equals 2; give the source `types: {qty: int}`, or write int(qty)"),
        ("filter: 2 != qty", "5:23: warning: stages.work.filter: 'qty' is text here"),
        ("filter: code == 7", "so it never equals 7; write float(code)"),
        (
            "filter: 'id in [1, 2]'",
            "'id' is text here, by the header of sold.csv, so it never is one of these numbers",
        ),
        ("filter: total > -5", "and cannot be compared with -5; give the source `types: {total: float}`"),
        ("filter: \"record['total'] > 5\"", "'total' is text here"),
        (
            "route: [{to: a, when: total >= 10}, {to: b, otherwise: true}]",
            "stages.work.route[0].when: 'total' is",
        ),
        (
            "map: {sum: total - 1}",
            "stages.work.map.sum: 'total' is text here, by the header of sold.csv, and cannot",
        ),
        ("map: {sum: total + qty}", "so `+` puts both together as text: '1' + '2' is '12'; give the source"),
        ("map: {sum: total + 1}", "and 1 cannot be added to it"),
        ("map: {sum: qty * 2}", "so `*` repeats it, or fails"),
        (
            "aggregate: {compute: {s: sum(total)}}",
            "5:39: warning: stages.work.aggregate.compute.s: 'total' is text",
        ),
        ("aggregate: {compute: {s: max(total)}}", "so max() compares it as text: '9' is more than '10'"),
    ],
)
def test_text_that_is_used_like_a_number_is_a_warning(sold: Path, work: str, problem: str) -> None:
    found = told(sold, f"{SOLD}  work: {{{work}}}\n" + ("" if "route" in work else END))

    assert any(problem in one for one in found), found
    assert all("warning: " in one for one in found)


@pytest.mark.parametrize(
    "work",
    [
        "filter: int(qty) == 2",
        "filter: note == 'x' or code == '007' or qty == '2'",
        "filter: \"id in ['1', '2']\"",
        "map: {full: note + code, line: \"note + ' ' + total\", bar: note * 2}",
        'map: {x: "[total - 1 for total in [1, 2]]"}',
        "aggregate: {compute: {n: count(total), last: max(code), first: min(note), all: sum(float(total))}}",
    ],
)
def test_text_that_is_used_as_text_is_not_told(sold: Path, work: str) -> None:
    assert told(sold, f"{SOLD}  work: {{{work}}}\n" + END) == []


@pytest.mark.parametrize(
    ("source", "above"),
    [
        (", types: {qty: int}", ""),
        (", types: infer", ""),
        (", types: {'*': infer}", ""),
        ("", "  to_int: {map: {qty: int(qty)}}\n"),
        ("", "  ok: {validate: {fields: {qty: 'int?'}}}\n"),
        ("", "  ok: {validate: {fields: {qty: int}, extra: drop}}\n"),
        ("", "  own: {call: 'json:loads'}\n"),
        ("", "  sql: {sql: select qty::int as qty from batch}\n"),
        ("", "  sql: {sql: select * replace (qty::int as qty) from batch}\n"),
    ],
)
def test_a_field_that_may_be_a_number_is_not_told(sold: Path, source: str, above: str) -> None:
    head = f"  read: {{source: {{type: csv, path: sold.csv{source}}}}}\n"

    assert told(sold, f"{head}{above}  work: {{filter: qty == 2}}\n" + END) == []


@pytest.mark.parametrize(
    "above",
    [
        "  some: {filter: note == 'x'}\n",
        "  some: {select: [qty, note]}\n",
        "  some: {select: {rename: {id: qty}, drop: [qty]}}\n",
        "  some: {validate: {fields: {qty: str}}}\n",
        "  some: {sql: select note as qty from batch}\n",
        "  some: {sql: select * exclude (id) from batch}\n",
    ],
)
def test_text_stays_text_through_stages_that_pass_it_on(sold: Path, above: str) -> None:
    [problem] = told(sold, f"{SOLD}{above}  work: {{filter: qty == 2}}\n" + END)

    assert "'qty' is text here" in problem


PLANES = "  plane: {lookup: {table: planes.csv, key: id, by: no, fields: {seats: places, code: code}}}\n"


def test_text_of_the_file_of_a_lookup_that_is_used_like_a_number_is_a_warning(sold: Path) -> None:
    (sold / "planes.csv").write_text("no,seats,code\n1,149,x\n2,NA,y\n")

    [problem] = told(sold, f"{SOLD}{PLANES}  work: {{aggregate: {{compute: {{s: sum(places)}}}}}}\n{END}")

    assert problem == (
        "6:39: warning: stages.work.aggregate.compute.s: 'places' is text here, by the header of planes.csv, "
        "and sum() takes numbers; give the lookup `table: {file: {path: planes.csv, types: {seats: int}}}`, "
        "or write int(places)"
    )


@pytest.mark.parametrize("table", ["{file: {path: planes.csv, types: {seats: int}}}", "planes.jsonl"])
def test_a_column_of_the_file_of_a_lookup_that_may_hold_numbers_is_not_told(sold: Path, table: str) -> None:
    (sold / "planes.csv").write_text("no,seats,code\n1,149,x\n2,150,y\n")
    (sold / "planes.jsonl").write_text('{"no": 1, "seats": 149, "code": "x"}\n')
    plane = PLANES.replace("planes.csv", table)

    assert told(sold, f"{SOLD}{plane}  work: {{filter: places > 3}}\n{END}") == []


def test_a_column_that_is_text_for_a_value_like_na_is_a_warning_where_types_are_inferred(root: Path) -> None:
    (root / "late.csv").write_text("id,delay,city\n1,5,NYC\n2,NA,LA\n3,7,NA\n")
    source = "type: csv, path: late.csv, types: infer"

    [found] = told(root, f"  read: {{source: {{{source}}}}}\n" + END)

    assert found == (
        "4:53: warning: stages.read.source.types: column 'delay' is text, since it holds 'NA', in the "
        'first rows of late.csv; if that stands for no value, set `na: ["NA"]`, and it is int'
    )
    assert told(root, f"  read: {{source: {{{source}, na: [NA]}}}}\n" + END) == []


def test_several_such_columns_are_one_warning(root: Path) -> None:
    (root / "late.csv").write_text("a,b,c\n1,-,2026-01-01\nNA,1,NA\n")

    [found] = told(root, "  read: {source: {type: csv, path: late.csv, types: infer}}\n" + END)

    assert found.endswith(
        "columns 'a', 'b' and 'c' are text, since they hold 'NA' and '-', in the first rows of late.csv; "
        'if that stands for no value, set `na: ["NA", "-"]`, and they are int or date'
    )


def test_a_condition_that_is_counted_is_a_warning_whatever_is_known(root: Path) -> None:
    compute = (
        "{late: count(delay > 15), big: count(not a), n: count(), known: count(delay), right: sum(a > 1)}"
    )

    *_, late, big = told(root, f"{STREAM}  work: {{aggregate: {{by: day, compute: {compute}}}}}\n" + END)

    assert ": warning: stages.work.aggregate.compute.late: count(delay > 15) counts records for" in late
    assert late.endswith("which the condition is false, too; write sum(delay > 15)")
    assert big.endswith("; write sum(not a)")


BILLS = "  bills: {source: {type: jsonl, path: bills.jsonl}}\n"


@pytest.mark.parametrize(
    ("types", "on", "problem"),
    [
        (
            "",
            "id",
            "'id' is text on the side 'right', by the header of sold.csv: '5' is another key than 5;",
        ),
        ("", "{left: number, right: id}", "`types: {id: int}`, or `id: str` if the other side has text, too"),
        (", types: {id: int}", "id", ""),
        (", types: {id: str}", "id", ""),
        (", types: infer", "id", ""),
        ("", "note", ""),
        (
            "",
            "idd",
            "the side 'right' has a field 'idd', by the header of sold.csv; did you mean 'id'?",
        ),
    ],
)
def test_a_join_by_text_and_numbers_is_a_warning(sold: Path, types: str, on: str, problem: str) -> None:
    (sold / "bills.jsonl").write_text("")
    read = f"  read: {{source: {{type: csv, path: sold.csv{types}}}}}\n"
    stages = BILLS + read + f"  both: {{join: {{left: bills, right: read, on: {on}}}}}\n" + END

    found = told(sold, stages)

    assert len(found) == (1 if problem else 0), found
    assert all(problem in one for one in found), found


def test_a_join_of_text_on_both_sides_is_not_told(sold: Path) -> None:
    (sold / "more.csv").write_text("id,more\n1,2\n")
    more = "  more: {source: {type: csv, path: more.csv}}\n"

    assert told(sold, SOLD + more + "  both: {join: {left: read, right: more, on: id}}\n" + END) == []
