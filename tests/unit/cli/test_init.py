"""`init`: the project it writes is whole, runs, and replaces nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rsq_pipe.cli.init import command
from rsq_pipe.cli.preview import command as preview
from rsq_pipe.cli.test import command as run_tests
from rsq_pipe.spec.loader import check, load

OWN = ["data/orders.jsonl", "handlers.py", "pipeline.yaml", "pipeline_test.yaml"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def init(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def previewed(spec: Path) -> str:
    done = CliRunner().invoke(preview, [str(spec)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_a_new_project_has_no_mistake_and_its_stages_work(tmp_path: Path) -> None:
    assert init("shop").exit_code == 0

    root = tmp_path / "shop"
    files = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    assert sorted(files) == sorted([*OWN, ".gitignore", "pyproject.toml"])
    checked = check(root / "pipeline.yaml")
    assert (checked.problems, checked.graph and checked.graph.pipeline) == ((), "shop")
    shown = previewed(root / "pipeline.yaml")
    assert "dropped: no lines" in shown
    assert "+ total: 1200.0" in shown
    assert "x " not in shown


@pytest.mark.parametrize("name", [*OWN])
def test_nothing_is_written_where_a_file_is_there_already(tmp_path: Path, name: str) -> None:
    (tmp_path / "shop" / name).parent.mkdir(parents=True)
    (tmp_path / "shop" / name).write_text("mine")

    done = init("shop")

    assert done.exit_code == 2
    assert name in done.output
    files = [path for path in (tmp_path / "shop").rglob("*") if path.is_file()]
    assert [path.read_text() for path in files] == ["mine"]


def test_a_pyproject_and_a_gitignore_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("# mine")

    assert init().exit_code == 0

    assert (tmp_path / "pyproject.toml").read_text() == "# mine"
    assert load(tmp_path / "pipeline.yaml").root == tmp_path


def test_the_types_of_a_csv_file_are_inferred_and_written_down(tmp_path: Path) -> None:
    (tmp_path / "My Orders.csv").write_text(
        "id;zip;price;true;paid on\n1;007;2.5;yes;2026-03-01\n2;010;;no;\n"
    )

    assert init("--from", "My Orders.csv").exit_code == 0

    graph = load(tmp_path / "pipeline.yaml")
    options = graph.stage("read").options.options
    assert graph.pipeline == "my-orders"
    assert options.types == {"id": "int", "price": "float", "true": "bool", "paid on": "date"}
    assert options.delimiter == ";"
    shown = previewed(tmp_path / "pipeline.yaml")
    assert '{"id": 1, "zip": "007", "price": 2.5, "true": true, "paid on": "2026-03-01"}' in shown


def test_the_fields_of_a_jsonl_file_become_rules(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with gzip.open(tmp_path / "in/events.jsonl.gz", "wt") as file:
        file.write('{"nr": 1, "x": 1, "at": "2026-03-01", "who": {"a": 1}, "any": 1}\n')
        file.write('{"nr": 2, "x": 2.5, "at": "2026-03-02", "who": {}, "any": "b", "more": [1]}\n')

    assert init("new", "--from", "in/events.jsonl.gz").exit_code == 0

    text = (tmp_path / "new/pipeline.yaml").read_text()
    rules = ["nr: int", "x: float", "at: date", "who: dict", "more: list?"]
    assert [line.strip() for line in text.splitlines() if line.startswith("        ")] == rules
    assert "x " not in previewed(tmp_path / "new/pipeline.yaml")
    assert not (tmp_path / "new/data").exists()


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("notes.txt", "a", "neither csv nor jsonl"),
        ("empty.csv", "a,b\n", "holds no record"),
        ("wrong.csv.gz", "a,b\n", "cannot be read"),
    ],
)
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, name: str, text: str, what: str) -> None:
    (tmp_path / name).write_text(text)

    done = init("new", "--from", name)

    assert done.exit_code == 2
    assert what in " ".join(done.output.replace("│", " ").split())
    assert not (tmp_path / "new").exists()


def test_words_for_no_value_are_found_in_columns_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "trips.csv").write_text("id,delay,code\n1,NA,NA\n2,5,DE\n3,-3,N/A\n")

    assert init("--from", "trips.csv").exit_code == 0

    options = load(tmp_path / "pipeline.yaml").stage("read").options.options
    assert options.types == {"id": "int", "delay": "int"}
    assert list(options.na) == ["NA"]
    assert '{"id": 1, "delay": null, "code": null}' in previewed(tmp_path / "pipeline.yaml")


@pytest.mark.parametrize("options", [(), ("--from", "people.csv")])
def test_the_tests_it_writes_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    (tmp_path / "people.csv").write_text('id,name,on,note\n1,"ada: ""x"" # y",yes,1e3\n')
    init("shop", *options)
    monkeypatch.chdir(tmp_path / "shop")

    done = CliRunner().invoke(run_tests, [], catch_exceptions=False)

    assert done.exit_code == 0
    assert "1 passed" in done.output or "2 passed" in done.output


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("id,name\n1,México\n".encode("latin-1"), "cp1252"),
        ("id,name\n1,México\n".encode("utf-16"), "utf-16"),
        ("id,name\n1,México\n".encode(), None),
        ("id,name\n1,México\n".encode("utf-8-sig"), None),
    ],
)
def test_the_encoding_of_a_csv_file_is_found(tmp_path: Path, content: bytes, encoding: str | None) -> None:
    (tmp_path / "people.csv").write_bytes(content)

    assert init("--from", "people.csv").exit_code == 0

    written = (tmp_path / "pipeline.yaml").read_text()
    assert (f"encoding: {encoding} " in written) if encoding else ("encoding" not in written)
    assert "México" in previewed(tmp_path / "pipeline.yaml")


def test_a_file_without_a_record_says_why(tmp_path: Path) -> None:
    (tmp_path / "orders.jsonl").write_text('[{"id": 1},\n{"id": 2}]\n')

    done = init("--from", "orders.jsonl")

    assert done.exit_code == 2
    shown = " ".join(done.output.replace("│", " ").split())
    assert "holds no record to infer anything from: orders.jsonl:1: it is not JSON" in shown
    assert "this looks like one JSON array" in shown


def test_a_delimiter_is_found_in_a_file_that_is_cut_off(tmp_path: Path) -> None:
    whole = gzip.compress("".join(["id;n\n", *(f"{n};{n * 7919}\n" for n in range(20_000))]).encode())
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])

    assert init("--from", "cut.csv.gz").exit_code == 0
    assert 'delimiter: ";"' in (tmp_path / "pipeline.yaml").read_text()
