"""What a run says of itself: to Prometheus, to a collector, and to whoever asks whether it lives."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsq_pipe.telemetry.health import READY
from tests.e2e.scraped_run import ScrapedRun
from tests.e2e.traced_project import run, to
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.project import Project
from tests.support.prometheus import PROMETHEUS, Prometheus, lint
from tests.support.server import StreamServer
from tests.support.signals import eventually

STAGES = """
    read:
      source: {type: jsonl, path: in.jsonl}
    work:
      call: handlers:work
    write:
      sink: {type: jsonl, path: out.jsonl}
    late:
      from: {stream: STREAM}
      filter: "True"
    end:
      sink: {type: jsonl, path: late.jsonl}
"""
HANDLERS = """
    def work(record):
        if record["n"] == 7:
            raise ValueError("unlucky")
        return None if record["n"] == 3 else record
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.spec(STAGES.replace("STREAM", f"{project.pipeline}-in"))
    project.handlers(HANDLERS)
    project.records(range(20))
    return project


@pytest.fixture
def running(project: Project, own_server: StreamServer) -> Iterator[ScrapedRun]:
    run = ScrapedRun(project, own_server)
    yield run
    run.end()


def test_prometheus_reads_what_became_of_the_records(running: ScrapedRun) -> None:
    def is_done() -> bool:
        records = running.values("rsq_records_total")
        return records.get(("write", "in")) == 18 and records["work", "dead"] == 1

    eventually(is_done, what="all records have met their end")

    records = running.values("rsq_records_total")
    assert records["read", "out"] == 20
    assert records["work", "dropped"] == 1
    assert running.values("rsq_drops_total") == {("work", "returned None"): 1}
    assert records["work", "retried"] == 2
    assert records["work", "dead"] == 1
    assert running.values("rsq_stage_dead_letters")["work",] == 1
    assert running.values("rsq_stage_retry_set")["work",] == 0
    assert running.values("rsq_stage_lag")["write",] == 0
    assert running.values("rsq_stage_pending")["write",] == 0
    assert running.values("rsq_stage_oldest_pending_age_seconds")["write",] == 0
    assert running.values("rsq_stage_oldest_age_seconds")["write",] == 0
    assert running.values("messaging_process_duration_seconds_count")["work",] >= 1
    assert running.values("rsq_batch_size_sum")["work",] == 22
    assert running.values("rsq_end_to_end_latency_seconds_count")["write",] >= 1


if PROMETHEUS is not None:  # Debian's; where it is not installed the page is read by the parser above alone

    def test_prometheus_itself_scrapes_a_run_and_answers_for_it(
        running: ScrapedRun, project: Project, tmp_path: Path
    ) -> None:
        mine = f'{{rsq_pipeline="{project.pipeline}"}}'
        with Prometheus(running.url, tmp_path / "prometheus") as prometheus:
            dead = f"max by (rsq_stage, rsq_outcome) (rsq_records_total{mine})"
            eventually(
                lambda: prometheus.ask(dead).get(("work", "dead")) == 1, timeout=30, what="the dead letter"
            )

            records = prometheus.ask(dead)
            assert records["write", "in"] == 18
            assert records["work", "dropped"] == 1
            assert prometheus.ask(f"rsq_stage_dead_letters{mine}") == {
                ("work",): 1,
                ("read",): 0,
                ("write",): 0,
                ("late",): 0,
                ("end",): 0,
            }
            slowest = f"histogram_quantile(1, rsq_end_to_end_latency_seconds_bucket{mine})"
            assert 0 < prometheus.ask(slowest)["write",] <= 60

    def test_promtool_finds_nothing_wrong_with_the_page(running: ScrapedRun) -> None:
        eventually(lambda: "rsq_records_total" in running.get("/metrics")[1])

        assert lint(running.get("/metrics")[1]) == ""


def test_run_is_ready_while_its_server_answers_and_lives_on_when_it_does_not(
    running: ScrapedRun, own_server: StreamServer
) -> None:
    eventually(lambda: running.get("/readyz") == (200, "ok\n"))

    own_server.pause()
    eventually(lambda: running.get("/readyz")[0] == 503, what="the run is not ready")
    assert running.get("/livez") == (200, "ok\n")
    own_server.resume()

    eventually(lambda: running.get("/readyz")[0] == 200, what="the run is ready again")


def test_run_is_not_ready_once_its_server_is_gone(running: ScrapedRun, own_server: StreamServer) -> None:
    eventually(lambda: running.get("/readyz") == (200, "ok\n"))

    own_server.kill()
    eventually(lambda: running.get("/readyz")[0] == 503, timeout=READY / 2, what="the run is not ready")
    assert running.get("/livez") == (200, "ok\n")
    own_server.start()

    eventually(lambda: running.get("/readyz")[0] == 200, what="the run is ready again")


def test_other_paths_are_named_as_not_there(running: ScrapedRun) -> None:
    assert running.get("/") == (404, "there is /metrics, /livez and /readyz\n")


def test_only_the_one_address_answers_unless_told_otherwise(running: ScrapedRun) -> None:
    port = int(running.url.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", port)) != 0


def test_port_that_is_taken_is_said_before_anything_runs(project: Project, server: StreamServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        done = run(project.root, "run", str(project.path), "--redis", server.url, "--metrics-port", port)

    assert done.returncode == 1
    assert f"metrics cannot be served on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert project.lines() == []


def test_collector_receives_the_metrics_with_the_last_counts(
    project: Project, server: StreamServer, tmp_path: Path
) -> None:
    finite = STAGES[: STAGES.index("    late:")]
    project.spec(finite)
    with OtlpReceiver(tmp_path) as collector:
        done = run(
            project.root, "run", str(project.path), "--redis", server.url, environ=to(collector.endpoint)
        )
        metrics = collector.metrics

    assert done.returncode == 4, done.stderr
    counts = {(point["rsq.stage"], point["rsq.outcome"]): point["value"] for point in metrics["rsq.records"]}
    assert counts["write", "in"] == 18
    assert counts["work", "dead"] == 1
    assert metrics["messaging.process.duration"]
    arrived = metrics["rsq.end_to_end.latency"]
    assert [(point["rsq.stage"], point["value"]) for point in arrived] == [("write", 18)]


def test_counts_and_spans_say_the_same_of_what_became_of_records(
    project: Project, server: StreamServer, tmp_path: Path
) -> None:
    project.spec("""
        read: {source: {type: generate, count: 60, fields: {n: n}}}
        some: {filter: n % 3 != 0}
        twice: {explode: {field: both, as: one}, from: both}
        both: {from: some, map: {both: "[n, n]"}}
        sums: {from: twice, aggregate: {by: {even: n % 2 == 0}, compute: {sum: sum(one)}}}
        write: {from: sums, sink: {type: jsonl, path: out.jsonl}}
    """)
    with OtlpReceiver(tmp_path) as collector:
        done = run(
            project.root, "run", str(project.path), "--redis", server.url, environ=to(collector.endpoint)
        )
        counts = {
            (point["rsq.stage"], point["rsq.outcome"]): point["value"]
            for point in collector.metrics["rsq.records"]
            if point["value"]
        }
        spans = Counter(
            (span.stage, span.attributes["rsq.outcome"]) for span in collector.spans if not span.is_batch
        )

    assert done.returncode == 0, done.stderr
    # What leaves a state is of many records, and in the trace of none.
    assert spans == {
        ("read", "emitted"): 60,
        ("some", "dropped"): 20,
        ("some", "emitted"): 40,
        ("both", "emitted"): 40,
        ("twice", "emitted"): 40,
        ("sums", "stored"): 80,
    }
    assert counts == {
        ("read", "out"): 60,
        ("some", "in"): 60,
        ("some", "dropped"): 20,
        ("some", "out"): 40,
        ("both", "in"): 40,
        ("both", "out"): 40,
        ("twice", "in"): 40,
        ("twice", "out"): 80,
        ("sums", "in"): 80,
        ("sums", "stored"): 80,
        ("sums", "out"): 2,
        ("write", "in"): 2,
        ("write", "out"): 2,
    }
