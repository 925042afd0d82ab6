"""Names of fields that no record can have are found before any record is seen."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rsq_pipe.errors import MissingFieldError, SpecValidationError
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.expressions.field_reads import field_reads
from rsq_pipe.spec.loader import check, load

HEAD = "version: 1\npipeline: p\nstages:\n"
CSV = "  read: {source: {type: csv, path: orders.csv, types: {total: int}}}\n"
STREAM = "  read: {source: {type: stream, stream: in}}\n"
END = "  end: {sink: {type: stdout}}\n"
KNOWN = "  only: {validate: {fields: {id: int, country: str}, extra: drop}}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "orders.csv").write_text("id,country,total\n1,DE,3\n")
    (tmp_path / "t.csv").write_text("id,totl,contry,a\n")
    return tmp_path


def told(root: Path, stages: str) -> list[str]:
    spec = root / "p.yaml"
    spec.write_text(HEAD + stages)
    return [str(one).removeprefix(f"{spec}:") for one in check(spec, root=root).problems]


@pytest.mark.parametrize(
    ("work", "problem"),
    [
        ("filter: contry == 'DE'", "5:18: stages.work.filter: NO 'contry' HERE; did you mean 'country'?"),
        (
            "filter: country == Germany",
            "5:29: stages.work.filter: NO 'Germany' HERE; write 'Germany', in quotes",
        ),
        ("filter: 'country in [DE, AT]'", "5:31: stages.work.filter: NO 'DE' HERE; write 'DE', in quotes"),
        (
            "map: {a: \"record['totl'] + 1\"}",
            "5:27: stages.work.map.a: NO 'totl' HERE; did you mean 'total'?",
        ),
        ("map: {a: \"get(record, 'totl.x')\"}", "warning: stages.work.map.a: NO 'totl' HERE; did you mean"),
        ("map: {a: contry if id else 1}", "5:19: warning: stages.work.map.a: NO 'contry' HERE"),
        ("map: {a: \"id == '1' or totl > 3\"}", "warning: stages.work.map.a: NO 'totl' HERE"),
        ("map: {a: '[totl for x in [1]]'}", "warning: stages.work.map.a: NO 'totl' HERE"),
        ("select: [id, contry]", "5:23: stages.work.select[1]: NO 'contry' HERE; did you mean 'country'?"),
        ("select: {drop: [contry.code]}", "5:26: stages.work.select.drop[0]: NO 'contry' HERE"),
        ("select: {rename: {contry: c}}", "5:28: stages.work.select.rename.contry: NO 'contry' HERE"),
        ("select: {keep: [contry], missing: ignore}", "warning: stages.work.select.keep[0]: NO 'contry'"),
        ("lookup: {table: t.csv, key: contry, as: c}", "5:38: stages.work.lookup.key: NO 'contry' HERE"),
        ("lookup: {table: t.csv, key: [id, totl], as: c}", "stages.work.lookup.key[1]: NO 'totl' HERE"),
        (
            "lookup: {table: t.csv, key: lower(contry), by: a, as: c}",
            "5:44: stages.work.lookup.key: NO 'contry'",
        ),
        ("dedupe: idd", "5:18: stages.work.dedupe: NO 'idd' HERE; did you mean 'id'?"),
        ("dedupe: [id, idd]", "stages.work.dedupe[1]: NO 'idd' HERE"),
        ("dedupe: {key: lower(contry), within: 1h}", "stages.work.dedupe.key: NO 'contry' HERE"),
        ("explode: lines", "5:19: stages.work.explode: NO 'lines' HERE; use id, country or total"),
        ("explode: {field: total, keep: [idd]}", "warning: stages.work.explode.keep[0]: NO 'idd' HERE"),
        ("validate: {fields: {contry: str}}", "5:30: stages.work.validate.fields.contry: NO 'contry' HERE"),
        ("validate: {fields: {contry: 'str?'}}", "warning: stages.work.validate.fields.contry: NO 'contry'"),
        (
            "sink: {type: csv, path: o.csv, fields: [id, contry], extra: ignore}",
            "stages.work.sink.fields[1]: NO 'contry'",
        ),
        (
            "sink: {type: csv, path: o.csv, fields: [id]}",
            "each record has a field 'country' that is not a column",
        ),
    ],
)
def test_a_field_that_no_record_has_is_told_with_its_place(root: Path, work: str, problem: str) -> None:
    end = "" if "sink" in work else END

    found = "\n".join(told(root, f"{CSV}  work: {{{work}}}\n{end}"))

    where = problem.replace("NO ", "no record has a field ").replace(
        "HERE", "here, by the header of orders.csv"
    )
    assert where in found
    assert found.count("\n") == (1 if "AT]" in work else 0)


@pytest.mark.parametrize(
    "work",
    [
        "filter: \"country in ['DE'] and record['total'] > 3\"",
        "map: {a: \"sum(id for id in [1]) + get(record, 'total.x', 0)\"}",
        "map: {a: \"'lines' in record\"}",
        "select: {keep: [id, country], rename: {country: c}}",
        "sink: {type: csv, path: out.csv, fields: [id, country, total]}",
        "sink: {type: csv, path: out.csv, rid: true, fields: [rid, id, country, total]}",
    ],
)
def test_what_is_right_is_not_told(root: Path, work: str) -> None:
    assert told(root, f"{CSV}  work: {{{work}}}\n{'' if 'sink' in work else END}") == []


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        (f"{CSV}  a: {{map: {{tax: id}}}}\n  b: {{filter: tax > totall}}\n", "did you mean 'total'?"),
        (f"{CSV}  a: {{map: {{id: null}}}}\n  b: {{filter: id > 3}}\n", "'id' here"),
        (f"{CSV}  a: {{select: {{rename: {{id: key}}}}}}\n  b: {{filter: id > 3}}\n", "'id' here"),
        (
            f"{CSV}  a: {{lookup: {{table: t.csv, key: id, as: c}}}}\n  b: {{filter: c == idd}}\n",
            "'idd' here",
        ),
        (f"{CSV}  a: {{dedupe: id}}\n  b: {{filter: idd > 3}}\n", "'idd' here"),
        (f"{CSV}  a: {{sample: 5%}}\n  b: {{filter: idd > 3}}\n", "'idd' here"),
        (f"{STREAM}{KNOWN}  b: {{filter: total > 3}}\n", "'total' here, by stage 'only'; use id or country"),
        (f"{STREAM}  a: {{select: [id, c.d]}}\n  b: {{filter: 'd > 3'}}\n", "'d' here, by stage 'a'"),
        (
            f"{STREAM}  a: {{explode: {{field: l, as: i, keep: [id]}}}}\n  b: {{filter: 'l > 3'}}\n",
            "'l' here",
        ),
        (
            f"{STREAM}{KNOWN}  a: {{filter: id > 1}}\n  b: {{from: [only, a.errors], filter: idd > 1}}\n",
            "'idd'",
        ),
    ],
)
def test_what_is_known_is_carried_through_the_graph(root: Path, stages: str, problem: str) -> None:
    errors = [one for one in told(root, stages + END) if "warning" not in one]

    assert len(errors) == 1
    assert problem in errors[0]


@pytest.mark.parametrize(
    "stages",
    [
        f"{STREAM}  b: {{filter: anything > 3}}\n",
        f"{STREAM}{KNOWN}  x: {{source: {{type: stream, stream: x}}}}\n  b: {{from: [only, x], filter: a}}\n",
        f"{STREAM}  only: {{validate: {{fields: {{id: int}}}}}}\n  b: {{filter: a > 3}}\n",
        "  read: {source: {type: csv, path: '-'}}\n  b: {filter: a > 3}\n",
        CSV.replace("}}", "}, to: {stream: s}}") + "  b: {from: {stream: s}, filter: a > 3}\n",
    ],
)
def test_where_nothing_is_known_nothing_is_told(root: Path, stages: str) -> None:
    assert [one for one in told(root, stages + END) if "no record has" in one] == []


def test_files_that_a_pattern_matches_are_known_together_and_not_for_sure(root: Path) -> None:
    with gzip.open(root / "orders2.csv.gz", "wt") as file:
        file.write("\ufeffid,note\n")

    stages = "  read: {source: {type: csv, path: 'orders*'}}\n  b: {filter: notes == total}\n" + END

    (problem,) = told(root, stages)

    assert problem.startswith("5:15: warning: stages.b.filter: no record has a field 'notes' here")
    assert problem.endswith("by the header of orders.csv and 1 more; did you mean 'note'?")


def test_a_type_of_a_column_that_is_not_there_is_told(root: Path) -> None:
    stages = "  read: {source: {type: csv, path: orders.csv, types: {totl: int}}}\n" + END

    (problem,) = told(root, stages)

    assert problem.startswith("4:56: stages.read.source.types.totl: column 'totl' is not in the header of")
    assert problem.endswith("orders.csv; did you mean 'total'?")


def test_a_format_of_a_column_that_is_not_there_is_told_and_a_star_is_every_column(root: Path) -> None:
    options = "types: {'*': infer}, formats: {dya: '%Y-%m-%d'}"
    stages = f"  read: {{source: {{type: csv, path: orders.csv, {options}}}}}\n" + END

    (problem,) = told(root, stages)

    assert "stages.read.source.formats.dya: column 'dya' is not in the header of orders.csv" in problem


@pytest.mark.parametrize(("sign", "shown"), [(";", ";"), ("\t", "\\t")])
def test_a_header_of_one_column_that_something_else_parts_is_a_warning(
    root: Path, sign: str, shown: str
) -> None:
    (root / "parted.csv").write_text(f"id{sign}note\n1{sign}a\n")
    stages = "  read: {source: {type: csv, path: parted.csv}}\n" + END

    (problem,) = told(root, stages)

    assert problem.startswith(
        "4:36: warning: stages.read.source.path: the header of parted.csv names one column"
    )
    assert problem.endswith(f'set `delimiter: "{shown}"`')


def test_columns_below_skipped_lines_and_comments_and_in_another_encoding_are_known(root: Path) -> None:
    (root / "by_hand.csv").write_text("Export\n# May\nid ; Größe\n1;2\n", encoding="utf-16")
    options = "skip: 1, comment: '#', delimiter: ';', trim: true, encoding: utf-16"
    stages = (
        f"  read: {{source: {{type: csv, path: by_hand.csv, {options}}}}}\n  b: {{filter: größe > 1}}\n" + END
    )

    (problem,) = told(root, stages)

    assert (
        "no record has a field 'größe' here, by the header of by_hand.csv; did you mean 'Größe'?" in problem
    )


def test_columns_of_files_without_a_header_are_known_before_there_is_a_file(root: Path) -> None:
    options = "header: false, columns: [id, total]"
    stages = (
        f"  read: {{source: {{type: csv, path: later.csv, {options}}}}}\n  b: {{filter: totl > 1}}\n" + END
    )

    (problem,) = (one for one in told(root, stages) if "totl" in one)

    assert "no record has a field 'totl' here, by `columns`; did you mean 'total'?" in problem


def test_a_pipeline_can_be_looked_after_whatever_became_of_its_files(root: Path) -> None:
    spec = root / "p.yaml"
    spec.write_text(f"{HEAD}{CSV}  b: {{filter: contry > 1}}\n{END}")

    assert load(spec, root=root).pipeline == "p"
    with pytest.raises(SpecValidationError, match="did you mean 'country'"):
        load(spec, root=root, look=True)


def test_reads_are_told_apart_by_whether_each_record_comes_to_them() -> None:
    reads = field_reads("a + (b if c else d) and any(e == f for g in h for i in g) or x < y < z")

    assert {read.name: read.sure for read in reads} == {
        **dict.fromkeys("ac", True),
        **dict.fromkeys("bdefhxyz", False),
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("contry == 'x'", "field 'contry' is not in the record; did you mean 'country'?"),
        ("country == Germany", "field 'Germany' is not in the record; write 'Germany', in quotes, for text"),
        ("country in ['FR', DE]", "field 'DE' is not in the record; write 'DE', in quotes, for text"),
        ("elsewhere + 1", "field 'elsewhere' is not in the record"),
        ("now", "field 'now' is not in the record; write now() if the function is meant"),
    ],
)
def test_a_record_that_lacks_a_field_tells_what_may_have_been_meant(text: str, why: str) -> None:
    with pytest.raises(MissingFieldError) as raised:
        compile_expression(text).evaluate({"id": 1, "country": "AT"})

    assert str(raised.value) == why


def test_a_record_with_long_names_is_not_searched_for_what_was_meant() -> None:
    with pytest.raises(MissingFieldError, match=r"record$"):
        compile_expression("n + 1").evaluate({f"n{place}" * 100: 1 for place in range(1_000)})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b"id,id\n1,2\n",
            "bad.csv: the header names column 'id' twice",
        ),
        (b"id,name,\n", "bad.csv: column 3 of the header has no name; name the columns in the pipeline file"),
        (
            b"id,pa\xeds\n",
            "bad.csv:1: it is not UTF-8: it holds byte 0xed; if it is written in another encoding",
        ),
        (b"id\n1\nM\xe9xico\n", "bad.csv:3: it is not UTF-8: it holds byte 0xe9"),
        (b"PK\x03\x04\x14\x00\n", "bad.csv: it is not csv; it is a zip archive"),
        (b'id,"name\n1,2\n', "bad.csv: a quote is opened and not closed"),
    ],
)
def test_a_csv_file_that_the_run_could_not_read_is_told_before(
    root: Path, content: bytes, problem: str
) -> None:
    (root / "bad.csv").write_bytes(content)

    [told_] = told(root, "  read: {source: {type: csv, path: bad.csv}}\n" + END)

    assert "warning: stages.read.source.path: " + problem in told_


@pytest.fixture
def sold(root: Path) -> Path:
    (root / "sold.csv").write_text("id,total,qty,note,code\n1,9.5,2,x,007\n2,10.5,,y,010\n")
    return root


SOLD = "  read: {source: {type: csv, path: sold.csv}}\n"


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


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (
            "select id, totl from batch",
            "5:27: warning: stages.work.sql: no record has a field 'totl' here, by the header of sold.csv",
        ),
        (
            "select id, totl from batch",
            "by the header of sold.csv: it is null in each; did you mean 'total'?",
        ),
        (
            "select id, upper(notee) as n from batch",
            "5:33: warning: stages.work.sql: no record has a field 'notee'",
        ),
        ("select id from batch where qyt > 1", "no record has a field 'qyt' here"),
        ("select id, batch.totl from batch", "no record has a field 'totl' here"),
        ("select Total from batch", "no record has a field 'Total' here"),
        ("select id, a.contry from batch join 'orders.csv' a on a.id = idd", "does not have a column named"),
    ],
)
def test_a_field_that_sql_names_and_no_record_has_is_a_warning(sold: Path, query: str, problem: str) -> None:
    [found] = told(sold, f'{SOLD}  work: {{sql: "{query}"}}\n' + END)

    assert problem in found


def test_fields_that_a_query_makes_are_known_below_it(sold: Path) -> None:
    stages = SOLD + "  work: {sql: select id as number from batch}\n  below: {filter: numbr == '1'}\n" + END

    [found] = told(sold, stages)

    assert found.startswith("6:19: stages.below.filter: no record has a field 'numbr' here, by stage 'work'")


TABLE = "type: postgres, dsn: 'postgresql://h/d', table: t"


@pytest.mark.parametrize(
    ("sink", "problem"),
    [
        (
            "type: parquet, path: o.parquet, columns: {id: int, contry: str}, extra: ignore",
            "5:68: warning: stages.work.sink.columns.contry: NO 'contry' HERE; did you mean 'country'?",
        ),
        (
            "type: parquet, path: o.parquet, columns: {id: int}",
            "stages.work.sink.columns: each record has a field 'country' that is not a column, by the header",
        ),
        (f"{TABLE}, mode: upsert, key: [idd]", "stages.work.sink.key[0]: NO 'idd' HERE; did you mean 'id'?"),
        (
            f"{TABLE}, columns: {{id: id, land: contry}}, extra: ignore",
            "stages.work.sink.columns.land: NO 'contry' HERE; did you mean 'country'?",
        ),
        (
            f"{TABLE}, columns: {{land: contry}}, extra: ignore, missing: empty",
            "warning: stages.work.sink.columns.land: NO 'contry' HERE",
        ),
        (f"{TABLE}, columns: {{id: id}}", "each record has a field 'country' that is not a column"),
    ],
)
def test_a_column_of_a_table_that_no_record_has_is_told(root: Path, sink: str, problem: str) -> None:
    found = told(root, f"{CSV}  work: {{sink: {{{sink}}}}}\n")

    expected = problem.replace("NO ", "no record has a field ").replace(
        "HERE", "here, by the header of orders.csv"
    )
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    "sink",
    [
        f"{TABLE}, mode: upsert, key: [id], create: true",
        f"{TABLE}, mode: upsert, key: [no], columns: {{no: id, land: country, sum: total}}",
        "type: parquet, path: o.parquet, columns: {id: int, country: str, total: float}",
        "type: parquet, path: o.parquet",
        "type: jsonl, path: o.jsonl",
    ],
)
def test_columns_of_a_table_that_records_have_are_not_told(root: Path, sink: str) -> None:
    assert told(root, f"{CSV}  work: {{sink: {{{sink}}}}}\n") == []


def test_a_key_that_is_not_among_the_columns_is_refused(root: Path) -> None:
    [found] = told(
        root,
        f"{CSV}  work: {{sink: {{{TABLE}, mode: upsert, key: [id], columns: {{no: id}}, extra: ignore}}}}\n",
    )

    assert "column 'id' of `key` or `version` is not among `columns`; add it: `id: FIELD`" in found


def test_a_column_that_is_text_for_a_value_like_na_is_a_warning_where_types_are_inferred(root: Path) -> None:
    (root / "late.csv").write_text("id,delay,city\n1,5,NYC\n2,NA,LA\n3,7,NA\n")
    source = "type: csv, path: late.csv, types: infer"

    [found] = told(root, f"  read: {{source: {{{source}}}}}\n" + END)

    assert found == (
        "4:53: warning: stages.read.source.types: column 'delay' is text, since it holds 'NA', by the "
        'header of late.csv; if that stands for no value, set `na: ["NA"]`, and it is int'
    )
    assert told(root, f"  read: {{source: {{{source}, na: [NA]}}}}\n" + END) == []


def test_a_condition_that_is_counted_is_a_warning_whatever_is_known(root: Path) -> None:
    compute = (
        "{late: count(delay > 15), big: count(not a), n: count(), known: count(delay), right: sum(a > 1)}"
    )

    late, big = told(root, f"{STREAM}  work: {{aggregate: {{by: day, compute: {compute}}}}}\n" + END)

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
