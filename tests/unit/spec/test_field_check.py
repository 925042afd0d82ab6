"""Names of fields that no record can have are found before any record is seen."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rsq_pipe.errors import MissingFieldError, SpecValidationError
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.expressions.field_reads import field_reads
from rsq_pipe.spec.loader import load
from tests.unit.spec.field_checking import CSV, END, HEAD, STREAM, told

KNOWN = "  only: {validate: {fields: {id: int, country: str}, extra: drop}}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "orders.csv").write_text("id,country,total\n1,DE,3\n")
    (tmp_path / "t.csv").write_text("id,totl,contry,a\n")
    return tmp_path


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
        (
            "sink: {type: objects, url: 's3://b/{contry}/{part}.jsonl', partition_by: contry}",
            "stages.work.sink.partition_by: NO 'contry' HERE; did you mean 'country'?",
        ),
        (
            "sink: {type: objects, url: 's3://b/{id}/{contry}/{part}.jsonl', partition_by: [id, contry]}",
            "stages.work.sink.partition_by[1]: NO 'contry' HERE",
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
        load(spec, root=root, check_fields=True)


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
