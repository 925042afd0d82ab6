"""Fields that a query or the columns of a table name, and that no record can have, are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.spec.field_checking import CSV, END, SOLD, STREAM, told


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


@pytest.mark.parametrize(
    ("above", "by"),
    [
        ("  work: {map: {total: n + 1}}\n", "stage 'work'"),
        ("  a: {map: {total: n + 1}}\n  work: {map: {x: 1, n: null}}\n", "stage 'a' and stage 'work'"),
        ("  work: {select: {rename: {sum: total}}}\n", "stage 'work'"),
        ("  work: {sql: 'select *, 3 as total from batch'}\n", "stage 'work'"),
        ("  work: {validate: {fields: {total: float}}}\n", "stage 'work'"),
        ("  work: {lookup: {table: t.csv, key: id, fields: {totl: total}}}\n", "stage 'work'"),
    ],
)
def test_a_field_that_a_stage_adds_is_known_though_the_others_are_not(
    root: Path, above: str, by: str
) -> None:
    more = "x, " if "x: 1" in above else ""
    [found] = told(root, f"{STREAM}{above}  end: {{sink: {{type: csv, path: o.csv, fields: [{more}id]}}}}\n")

    assert f"stages.end.sink.fields: each record has a field 'total' that is not a column, by {by};" in found


@pytest.mark.parametrize(
    "above",
    [
        "  work: {map: {total: n + 1}}\n  end: {map: {total: null}}\n",
        "  work: {map: {total: n + 1}}\n  end: {select: {drop: [total]}}\n",
        "  work: {map: {total: n + 1}}\n  end: {sql: 'select * exclude (total) from batch'}\n",
        "  work: {map: {total: n + 1}}\n  end: {call: 'json:loads'}\n",
        "  work: {validate: {fields: {total: float?}}}\n",
        "  work: {select: {rename: {sum: total}, missing: ignore}}\n",
        "  a: {map: {total: n + 1}}\n  work: {from: [a, read], filter: n > 1}\n",
        "  work: {filter: totl > 1}\n",
    ],
)
def test_nothing_is_told_of_fields_that_may_not_be_there(root: Path, above: str) -> None:
    assert told(root, f"{STREAM}{above}  last: {{sink: {{type: csv, path: o.csv, fields: [id]}}}}\n") == []
