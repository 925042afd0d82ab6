"""Variables and secrets in a pipeline file, for a run, for a look at it, and for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.errors import SpecValidationError
from rsq_pipe.spec.graph import Graph, StreamRef
from rsq_pipe.spec.loader import check, load
from tests.unit.spec.loading import ENRICH, ORDERS, short, write


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "handlers.py").write_text(ENRICH)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").touch()
    return tmp_path


@pytest.fixture
def graph(project: Path) -> Graph:
    return load(write(project, ORDERS), environ={})


def test_variables_are_replaced_once_and_never_become_structure(tmp_path: Path) -> None:
    text = short(
        "  a:\n    filter: x\n    workers: ${WORKERS}\n    batch: {size: '${SIZE:-7}'}\n"
        "    to: {stream: '${NAME}'}\n",
        head="description: ${TEXT} and $${PLAIN}\n",
    )
    environ = {"WORKERS": "3", "NAME": "{a: ${SIZE}}", "TEXT": "'quoted"}

    graph = load(write(tmp_path, text), environ=environ)
    stage = graph.stage("a")

    assert graph.description == "'quoted and ${PLAIN}"
    assert (stage.workers, stage.batch_size) == (3, 7)
    assert stage.outputs == {"": StreamRef("{a: ${SIZE}}", external=True)}


def test_a_variable_is_read_as_what_its_place_wants(tmp_path: Path) -> None:
    text = short(
        "  a:\n    filter: x\n    description: ${SEVEN}\n    batch: {size: '${SEVEN}'}\n"
        "    to: {stream: y}\n",
        head="description: ${SEVEN}\nredis:\n  url: ${NOTHING:-}\n",
    )

    graph = load(write(tmp_path, text), environ={"SEVEN": "7"})

    assert (graph.description, graph.redis_url, graph.stage("a").batch_size) == ("7", "", 7)


@pytest.mark.parametrize("value", ["", "default"])
def test_a_default_stands_in_for_an_empty_variable(tmp_path: Path, value: str) -> None:
    text = short("  a: {filter: x, to: {stream: y}}\n", head="description: ${V:-default}\n")

    assert load(write(tmp_path, text), environ={"V": value}).description == "default"


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from-a-file\n")
    text = short(
        "  a: {filter: x, to: {stream: y}}\n",
        head="redis: {url: 'redis://${secret:USER_NAME}:${secret:PASSWORD}@host'}\n",
    )
    environ = {"USER_NAME": "me-myself", "PASSWORD_FILE": str(tmp_path / "password")}

    graph = load(write(tmp_path, text), environ=environ)

    assert graph.redis_url == "redis://me-myself:from-a-file@host"
    assert graph.secrets == ("me-myself", "from-a-file")
    assert "from-a-file" not in repr(graph)


def test_a_secret_is_never_part_of_a_message(tmp_path: Path) -> None:
    text = short("  a: {filter: '${secret:S}', timeout: '${secret:S}', from: '${secret:S}'}\n")

    problems = check(write(tmp_path, text), environ={"S": "hunter2"}).problems

    assert len(problems) == 2
    assert "hunter2" not in "".join(map(str, problems))
    assert "[secret]" in "".join(map(str, problems))


ONLY_LOOKED_AFTER = """
version: 1
pipeline: orders
stages:
  read:
    source: {type: postgres, dsn: "${secret:NOT_SET}", table: orders, key: [id]}
  enrich:
    call: gone:enrich
  check:
    validate: {schema: gone.json, extra: drop}
  model:
    validate: {model: "gone:Order"}
  name:
    lookup: {table: gone.csv, key: customer, as: customer}
  store:
    sink: {type: mysql, dsn: "${secret:NOT_SET}", table: orders}
"""


def test_a_pipeline_can_be_looked_after_without_what_it_needs_to_run(project: Path) -> None:
    spec = write(project, ONLY_LOOKED_AFTER)

    graph = load(spec, environ={}, operate=True)

    assert [stage.name for stage in graph.stages] == ["read", "enrich", "check", "model", "name", "store"]
    assert [problem.severity for problem in check(spec, environ={}).problems] == ["error"] * 6


def test_the_secret_of_the_server_must_be_set_to_look_after_a_pipeline(project: Path) -> None:
    spec = write(project, short("", head='redis: {url: "redis://:${secret:NOT_SET}@localhost"}\n'))

    with pytest.raises(SpecValidationError, match="secret NOT_SET is not set"):
        load(spec, environ={}, operate=True)


def test_a_pipeline_that_is_looked_after_is_the_one_that_runs(project: Path) -> None:
    (project / "order.json").write_text('{"type": "object", "properties": {"id": {}}}')
    spec = write(project, ORDERS + "  checked: {from: small, validate: {schema: order.json}}\n")

    assert load(spec, environ={}, operate=True).spec_hash == load(spec, environ={}).spec_hash


TESTED = """
version: 1
pipeline: orders
redis: {url: "${secret:NOT_SET}"}
stages:
  read:
    source: {type: postgres, dsn: "postgresql://shop:${secret:NOT_SET}@db/shop", table: orders, key: [id]}
  enrich:
    call: handlers:enrich
    with: {key: "${KEY}"}
  store:
    sink: {type: http, url: "https://shop.example", headers: {Authorization: "Bearer ${secret:NOT_SET}"}}
"""


def test_tests_need_no_secrets_of_servers(project: Path) -> None:
    spec = write(project, TESTED)

    assert load(spec, environ={"KEY": "k"}, connect=False).stages[1].values == {"key": "k"}


def test_tests_need_the_secrets_that_handlers_are_given(project: Path) -> None:
    spec = write(project, TESTED.replace("${KEY}", "${secret:KEY}"))

    with pytest.raises(SpecValidationError, match="secret KEY is not set"):
        load(spec, environ={}, connect=False)
