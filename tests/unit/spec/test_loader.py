"""What a right pipeline file becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.spec.graph import ConnectorRef, Graph, HandlerRef, RouteCase, StreamRef
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


def test_stages_stand_behind_what_they_read(graph: Graph) -> None:
    assert [stage.name for stage in graph.stages] == [
        "read",
        "check",
        "enrich",
        "price",
        "route",
        "large",
        "small",
    ]


def test_a_stage_that_is_written_above_its_input_is_sorted_below_it(tmp_path: Path) -> None:
    text = short("  late: {from: early, filter: a, to: {stream: x}}\n  early: {from: read, filter: a}\n")

    graph = load(write(tmp_path, text))

    assert [stage.name for stage in graph.stages] == ["read", "early", "late"]


def test_a_stage_without_from_reads_the_one_above(graph: Graph) -> None:
    assert graph.stage("check").inputs == (StreamRef("read"),)
    assert graph.stage("route").inputs == (StreamRef("price"),)


def test_inputs_may_be_ports_dead_letters_and_foreign_streams(graph: Graph) -> None:
    assert graph.stage("price").inputs == (StreamRef("enrich"), StreamRef("enrich.odd"))
    assert graph.stage("small").inputs == (
        StreamRef("route.small"),
        StreamRef("check:dlq"),
        StreamRef("late", external=True),
    )


def test_outputs_have_a_stream_per_port(graph: Graph) -> None:
    assert graph.stage("enrich").outputs == {"": StreamRef("enrich"), "odd": StreamRef("enrich.odd")}
    assert graph.stage("route").outputs == {
        "large": StreamRef("route.large"),
        "small": StreamRef("route.small"),
    }
    assert graph.stage("small").outputs == {"": StreamRef("small-orders", external=True)}


def test_a_published_output_is_read_under_its_own_name(tmp_path: Path) -> None:
    text = short("  a: {filter: x, to: {stream: shared}}\n  b: {sink: {type: stream, stream: out}}\n")

    graph = load(write(tmp_path, text))

    assert graph.stage("b").inputs == (StreamRef("shared", external=True),)


def test_stream_connectors_pass_records_between_streams(tmp_path: Path) -> None:
    graph = load(write(tmp_path, short("  out: {sink: {type: stream, stream: out}}\n")))

    read, out = graph.stages
    assert (read.verb, read.inputs, read.outputs) == (
        "pass",
        (StreamRef("in", external=True),),
        {"": StreamRef("read")},
    )
    assert (out.verb, out.inputs, out.outputs) == (
        "pass",
        (StreamRef("read"),),
        {"": StreamRef("out", external=True)},
    )


def test_a_handler_beside_the_file_is_found_where_the_root_has_no_such_module(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "greetings.py").write_text("def greet(record): return record\n")
    spec = tmp_path / "examples" / "hello.yaml"
    spec.write_text(short("  a: {call: 'greetings:greet', to: {stream: y}}\n"))

    graph = load(spec)

    assert (graph.root, graph.stage("a").options.root) == (tmp_path, tmp_path / "examples")


def test_a_handler_under_the_root_goes_before_one_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    for folder in (tmp_path, tmp_path / "examples"):
        folder.mkdir(exist_ok=True)
        (folder / "greetings.py").write_text("def greet(record): return record\n")
    spec = tmp_path / "examples" / "hello.yaml"
    spec.write_text(short("  a: {call: 'greetings:greet', to: {stream: y}}\n"))

    assert load(spec).stage("a").options.root is None


def test_two_sinks_may_not_write_one_file_however_it_is_spelt(tmp_path: Path) -> None:
    sinks = (
        "  a: {from: read, sink: {type: jsonl, path: out/x.jsonl}}\n"
        "  b: {from: read, sink: {type: csv, path: ./out/../out/x.jsonl}}\n"
    )

    problems = check(write(tmp_path, short(sinks))).problems

    assert [(p.path, p.what) for p in problems if p.severity == "error"] == [
        (
            "stages.b.sink.path",
            "stage 'b' writes the file that stage 'a' writes: ./out/../out/x.jsonl",
        )
    ]


@pytest.mark.parametrize("source", ["out/x.jsonl", "out/*.jsonl", "./out/../out/x.jsonl", "**/*.jsonl"])
def test_a_sink_may_not_write_what_a_source_reads(tmp_path: Path, source: str) -> None:
    stages = (
        f"  in: {{source: {{type: jsonl, path: '{source}'}}}}\n"
        "  a: {from: in, sink: {type: jsonl, path: out/x.jsonl}}\n"
    )

    problems = check(write(tmp_path, short(stages))).problems

    assert [(p.path, p.what) for p in problems if p.severity == "error"] == [
        ("stages.a.sink.path", "stage 'a' writes a file that stage 'in' reads: out/x.jsonl")
    ]


def test_options_hold_what_each_verb_needs(graph: Graph) -> None:
    read, price, route = (graph.stage(name).options for name in ("read", "price", "route"))

    assert isinstance(read, ConnectorRef)
    assert (read.kind, read.type, read.options.path) == ("source", "jsonl", ("data/*.jsonl",))
    assert graph.stage("enrich").options == HandlerRef("handlers", "enrich", "handlers:enrich")
    assert graph.stage("enrich").values == {"rate": 0.2}
    assert {field: expression and expression.text for field, expression in price.items()} == {
        "total": "price * 2",
        "price": None,
        "fixed": "3",
    }
    assert graph.stage("check").options.evaluate({"total": 1}) is True
    assert route[0].when.evaluate({"total": 1000}) is True
    assert route[1] == RouteCase("small", None)


def test_a_stage_lays_its_settings_over_the_defaults_key_by_key(graph: Graph) -> None:
    enrich, price = graph.stage("enrich"), graph.stage("price")

    assert (enrich.batch_size, enrich.batch_wait, enrich.workers) == (100, 0.02, 2)
    assert (enrich.retry.attempts, enrich.retry.first, enrich.retry.max) == (4, 1.0, 10.0)
    assert (price.retry.attempts, price.retry.first, price.workers) == (4, 0.2, 1)


def test_what_is_not_said_has_the_documented_default(tmp_path: Path) -> None:
    graph = load(write(tmp_path, short("  a: {filter: x, to: {stream: y}}\n")))
    stage = graph.stage("a")

    assert (graph.max_backlog, graph.keep, graph.reclaim_idle, graph.drain_timeout) == (10_000, 0, 5, 10)
    assert (graph.serializer, graph.redis_url, graph.telemetry.sample.value) == ("json", "", 10)
    assert (stage.batch_size, stage.batch_wait, stage.timeout, stage.on_error) == (500, 0, 30, "dlq")
    assert (stage.retry.attempts, stage.retry.first, stage.retry.max) == (3, 0.2, 30)
    assert (stage.retry.jitter, stage.retry.deliveries, stage.concurrency) == (0.2, 5, 1)


def test_aliases_share_values(tmp_path: Path) -> None:
    text = short("  a: {filter: x, batch: &b {size: 9}}\n  c: {filter: x, batch: *b, to: {stream: y}}\n")

    graph = load(write(tmp_path, text))

    assert [graph.stage(name).batch_size for name in ("a", "c")] == [9, 9]


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (ORDERS.replace("workers: 2", "workers: 3").replace("size: 100", "size: 50"), True),
        (ORDERS.replace("version: 1", "version: 1\ndescription: x"), True),
        (ORDERS.replace("  check:\n", "  check:\n    from: read\n"), True),
        (ORDERS.replace("total > 0", "total > 1"), False),
        (ORDERS.replace("rate: 0.2", "rate: 0.3"), False),
        (ORDERS.replace("from: [enrich, enrich.odd]", "from: [enrich.odd, enrich]"), False),
    ],
    ids=["tuning", "description", "from spelled out", "expression", "values", "inputs"],
)
def test_the_spec_hash_changes_with_what_the_pipeline_does(
    project: Path, graph: Graph, changed: str, same: bool
) -> None:
    other = load(write(project, changed, "other.yaml"), environ={})

    assert (other.spec_hash == graph.spec_hash) is same


def test_files_that_are_not_there_are_a_warning(project: Path) -> None:
    (project / "data" / "a.jsonl").unlink()

    checked = check(write(project, ORDERS), environ={})

    assert checked.graph is not None
    assert [problem.what for problem in checked.problems] == ["no file matches 'data/*.jsonl'"]


def test_a_file_that_may_be_meant_is_named(project: Path) -> None:
    (project / "data" / "a.jsonl").rename(project / "data" / "orders.jsonl")

    checked = check(write(project, ORDERS.replace("data/*.jsonl", "data/order.jsonl")), environ={})

    assert [problem.fix for problem in checked.problems] == ["did you mean 'orders.jsonl'?"]


def test_the_path_that_a_webhook_listens_on_is_no_file(project: Path) -> None:
    spec = """
        version: 1
        pipeline: hook
        stages:
          receive:
            source: {type: webhook, listen: "127.0.0.1:0", path: /orders}
          print:
            sink: {type: stdout}
        """

    checked = check(write(project, spec), environ={})

    assert checked.problems == ()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "type: webhook, listen: 99999",
            "listen: 99999 has no port from 1 to 65535, or 0; write 127",
        ),
        ("type: webhook, listen: 8080", "listen: must be HOST:PORT; write 127.0.0.1:8080"),
        ("type: mqtt, topic: t, broker: 1883", "broker: 1883 is not HOST:PORT; write broker:1883"),
        ("type: mqtt, topic: t, broker: 'b:99999'", "broker: 'b:99999' is not HOST:PORT; write broker:1883"),
        ("type: kafka, topic: t, brokers: 'b:99999'", "brokers: 'b:99999' has no port from 1 to 65535"),
    ],
)
def test_an_address_without_a_host_or_a_port_that_is_one_is_told_as_that(
    project: Path, source: str, said: str
) -> None:
    stages = f"stages:\n  read: {{source: {{{source}}}}}\n  out: {{sink: {{type: stdout}}}}"

    checked = check(write(project, f"version: 1\npipeline: hook\n{stages}"), environ={})

    assert [said in str(problem) for problem in checked.problems] == [True], checked.problems
