"""Wrong pipeline files: each in `wrong/`, with the problems it must print in its last lines, after `#>`."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.errors import SpecSyntaxError, SpecValidationError
from rsq_pipe.spec.loader import check, load

WRONG = Path(__file__).parent / "wrong"
FILES = sorted(WRONG.glob("*.yaml"))


def expected(spec: Path) -> list[str]:
    return [line.removeprefix("#> ") for line in spec.read_text().splitlines() if line.startswith("#> ")]


@pytest.mark.parametrize("spec", FILES, ids=lambda spec: spec.stem)
def test_every_mistake_is_told_once_with_its_place_and_its_fix(spec: Path) -> None:
    checked = check(spec, environ={}, root=WRONG)

    assert [str(problem).removeprefix(f"{spec}:") for problem in checked.problems] == expected(spec)


def test_the_table_covers_many_kinds_of_mistakes() -> None:
    assert len(FILES) >= 50
    assert all(expected(spec) for spec in FILES)


def test_no_message_is_written_by_the_validation_library() -> None:
    messages = "\n".join(line for spec in FILES for line in expected(spec))

    assert "Input should" not in messages
    assert "not permitted" not in messages
    assert "Field required" not in messages
    assert "pydantic" not in messages


def test_load_raises_all_mistakes_at_once() -> None:
    with pytest.raises(SpecValidationError) as raised:
        load(WRONG / "many_at_once.yaml", environ={}, root=WRONG)

    assert len(raised.value.problems) == 12
    assert str(raised.value).count("\n") == 11


def test_load_raises_the_place_where_a_file_stops_being_yaml() -> None:
    with pytest.raises(SpecSyntaxError) as raised:
        load(WRONG / "tab.yaml", environ={}, root=WRONG)

    assert (raised.value.problem.line, raised.value.problem.column) == (4, 1)


def test_warnings_do_not_keep_a_pipeline_from_loading() -> None:
    graph = load(WRONG / "unread_outputs.yaml", environ={}, root=WRONG)

    assert [stage.name for stage in graph.stages] == ["read", "size", "large", "send"]


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    checked = check(tmp_path / "no.yaml")

    assert [problem.what for problem in checked.problems] == ["there is no such file"]


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("orders", "did you mean 'orders.yaml'?"),
        ("order.yaml", "did you mean 'orders.yaml'?"),
        ("orders.yml", "did you mean 'orders.yaml'?"),
        ("flights.yaml", "check the name"),
        ("nowhere/orders.yaml", "check the name"),
    ],
)
def test_a_file_that_is_not_there_is_told_with_the_one_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("orders.yaml").touch()

    assert [problem.fix for problem in check(Path(name)).problems] == [fix]


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"version: \xff\n", "the file is not UTF-8: byte 9"),
        (b"#" * (2**20 + 1), "the file is larger than 1,048,576 bytes"),
        (b"[" * 500_000, "the file is deeper than 50 levels"),
        (b"version: \x00\n", "not YAML: "),
    ],
    ids=["not UTF-8", "too large", "too deep", "control character"],
)
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, raw: bytes, what: str) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_bytes(raw)

    checked = check(spec)

    assert next(problem.what for problem in checked.problems).startswith(what)


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"version: \xff\n", (1, 10)),
        ("version: 1\ndescription: é".encode() + b"\xe9\n", (2, 15)),
        (b"\xef\xbb\xbfversion: 1\n\xe9\n", (2, 1)),
        (b"version: 1\npipeline: a\x00\n", (2, 12)),
    ],
    ids=["at once", "behind another letter", "behind a byte order mark", "a control character"],
)
def test_a_byte_that_is_not_text_is_reported_with_its_place(
    tmp_path: Path, raw: bytes, place: tuple[int, int]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_bytes(raw)

    assert [(problem.line, problem.column) for problem in check(spec).problems] == [place]


def test_a_folder_is_not_a_pipeline_file(tmp_path: Path) -> None:
    assert [problem.what for problem in check(tmp_path).problems] == ["this is a folder"]
