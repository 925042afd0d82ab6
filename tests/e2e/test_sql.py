"""`sql` as a user runs it: a bad record beside good ones, and processes that are killed in mid-run."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from rsq_pipe.extras import install
from tests.support.command_line import rsq_pipe, start
from tests.support.guarded_server import GuardedServer
from tests.support.project import Project
from tests.support.signals import eventually

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    calc:
      sql: |
        select n, carrier, dep_delay::integer * 60 as seconds, a.name, cast(a.since as date) as since
        from batch join 'data/airlines.csv' a using (carrier)
        where dep_delay::integer > 0
      fuse: %s
    out: {sink: {type: jsonl, path: out/all.jsonl, rid: true}}
"""
AIRLINES = "carrier,name,since\nAA,American,1934-04-13\nUA,United,1931-03-28\nUA,United Express,1985-01-01\n"
RECORDS = 15_000


@pytest.fixture
def project(project: Project) -> Project:
    (project.root / "data").mkdir()
    (project.root / "data/airlines.csv").write_text(AIRLINES)
    return project


def given(project: Project, count: int, *, bad: frozenset[int] = frozenset()) -> list[dict[str, object]]:
    """Write records, some of them bad."""
    draw = random.Random(5)
    records: list[dict[str, object]] = []
    for n in range(count):
        delay = "soon" if n in bad else draw.choice([-5, 0, 3, 7, "12", 2.0, None])
        records.append({"n": n, "carrier": draw.choice(["AA", "UA", "ZZ"]), "dep_delay": delay})
    (project.root / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return records


def expected(records: list[dict[str, object]], bad: frozenset[int] = frozenset()) -> Counter[str]:
    """What the records become, by plain Python."""
    rows: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(AIRLINES.splitlines()):
        rows.setdefault(row["carrier"], []).append(row)
    made: Counter[str] = Counter()
    for line, record in enumerate(records, 1):
        joined = rows.get(str(record["carrier"]), [])
        if (
            record["n"] in bad
            or record["dep_delay"] is None
            or int(str(record["dep_delay"]).split(".")[0]) <= 0
        ):
            continue
        for at, row in enumerate(joined):
            child = f".{at}" if len(joined) > 1 else ""
            seconds = int(float(str(record["dep_delay"]))) * 60
            out = {"n": record["n"], "carrier": record["carrier"], "seconds": seconds}
            rid = {"rid": f"read:in.jsonl:{line}{child}"}
            made[
                json.dumps(rid | out | {"name": row["name"], "since": row["since"]}, separators=(",", ":"))
            ] += 1
    return made


def test_bad_records_are_dead_letters_that_say_why_and_the_others_go_on(
    project: Project, server: GuardedServer
) -> None:
    bad = frozenset((17, 18, 555))
    records = given(project, 1_000, bad=bad)
    for one in bad:
        records[one]["carrier"] = "AA"
    (project.root / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    spec = project.spec(STAGES % "true")

    done = rsq_pipe("run", spec, "--redis", server.url, cwd=project.root)

    assert done.returncode == 4, done.stderr
    lines = (project.root / "out/all.jsonl").read_text().splitlines()
    assert Counter(lines) == expected(records, bad)
    summary = rsq_pipe("status", spec, "--redis", server.url, "--json", cwd=project.root)
    stage = next(one for one in json.loads(summary.stdout)["stages"] if one["name"] == "calc")
    assert stage["drops"] == {
        "sql: where or join": 1_000 - 3 - len({json.loads(line)["n"] for line in lines})
    }
    shown = rsq_pipe("dlq", "list", spec, "--redis", server.url, "--json", cwd=project.root)
    assert "Could not convert string 'soon' to INT32" in shown.stdout
    for number in (18, 19, 556):
        letter = rsq_pipe(
            "dlq", "show", spec, f"read:in.jsonl:{number}", "--redis", server.url, cwd=project.root
        )
        assert "stage 'calc': sql: Conversion Error: Could not convert string 'soon'" in letter.stdout


@pytest.mark.parametrize("fuse", ["true", "false"])
@pytest.mark.timeout(120)
def test_kills_lose_and_repeat_nothing(project: Project, own_server: GuardedServer, fuse: str) -> None:
    records = given(project, RECORDS)
    spec = project.spec(STAGES % fuse, defaults="defaults: {batch: {size: 100}, workers: 2}")
    words = ("run", str(spec), "--redis", own_server.url)
    sink = project.root / "out/all.jsonl"

    kills = 0
    for goal in (1, 1_500, 3_000, 4_500):
        process = start(*words, cwd=project.root)
        eventually(partial(has_come_to, process, sink, goal), what=f"{goal} records are written")
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
    done = rsq_pipe(*words, cwd=project.root)

    assert done.returncode == 0, done.stderr
    assert kills >= 2
    assert Counter(sink.read_text().splitlines()) == expected(records)


def has_come_to(process: subprocess.Popen[str], sink: Path, records: int) -> bool:
    """Tell whether so many records are written, about, or the process has ended."""
    return process.poll() is not None or (sink.exists() and sink.stat().st_size > records * 90)


def test_what_only_a_whole_batch_could_say_is_refused_before_anything_runs(project: Project) -> None:
    stages = STAGES % "true"
    spec = project.spec(stages.replace("where dep_delay::integer > 0", "order by n"))

    done = rsq_pipe("validate", spec, cwd=project.root)

    assert done.returncode == 2
    assert "stages.calc.sql: ORDER BY cannot be said over a batch" in done.stdout + done.stderr
    line = next(n for n, text in enumerate(spec.read_text().splitlines(), 1) if "order by n" in text)
    column = spec.read_text().splitlines()[line - 1].index("by n") + 4
    assert f"pipeline.yaml:{line}:{column}: " in done.stdout + done.stderr


def test_a_process_without_the_extra_is_told_what_to_install(project: Project) -> None:
    spec = project.spec(STAGES % "true")
    blocked = "import sys; sys.modules['duckdb'] = None; from rsq_pipe.cli.start import main; main()"

    done = subprocess.run(
        [sys.executable, "-c", blocked, "validate", str(spec)],
        cwd=project.root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert install("sql") in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
