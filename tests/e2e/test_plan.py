"""After a change of its file, a pipeline says what would be lost; each way it offers works as pasted."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.command_line import COMMAND, rsq_pipe, start
from tests.support.guarded_server import GuardedServer
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import PATIENCE, TO_END, eventually

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    slow: {call: "handlers:slow"}
    add: {map: {k: "n + 1"}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""
RENAMED = STAGES.replace("slow:", "sluggish:", 1)
COUNT = 200
on_one_server = pytest.mark.parametrize("server", ["valkey"], indirect=True)


@pytest.fixture
def valkey() -> Iterator[StreamServer]:
    with GuardedServer(binaries()["valkey"]) as server:
        yield server


@pytest.fixture
def open_valkey() -> Iterator[StreamServer]:
    """A server without users: the commands that are offered hold its URL, and would hide a password."""
    with StreamServer(binaries()["valkey"]) as server:
        yield server


@pytest.fixture
def project(project: Project) -> Project:
    project.records(range(COUNT))
    project.handlers("""
        import time

        def slow(record):
            time.sleep(0.005)
            if record["n"] == 3:
                raise ValueError("three")
            return record
    """)
    return project


def appended(client: redis.Redis, project: Project, stage: str) -> int:
    """How many records were ever written to a stage's stream, whose entries are packs of them."""
    counted = client.hget(f"{{{project.pipeline}}}:meta", f"appended:{{{project.pipeline}}}:{stage}")
    return int(counted or 0)


def interrupt(project: Project, *options: str, url: str = "") -> None:
    """Run the pipeline, and stop it once some records are through and most are not."""
    project.spec(STAGES)
    environ = {"RSQ_PIPE_REDIS": url} if url else {}
    process = start("run", project.path, *options, cwd=project.root, stdin=None, **environ)
    eventually(lambda: len(project.lines_so_far()) > 20, what="some records are through")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)


def offered(message: str, word: str) -> str:
    """Take the command out of a message that has a word in it."""
    (line,) = [line for line in message.splitlines() if line.startswith("    rsq-pipe") and word in line]
    return line.strip()


def paste(command: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does that has `rsq-pipe` on its path."""
    path = f"{COMMAND.parent}:/usr/bin:/bin"
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=cwd,
        env={"PATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=TO_END,
        check=False,
    )


def test_a_renamed_stage_is_refused_and_the_offered_rename_loses_and_doubles_nothing(
    project: Project, open_valkey: StreamServer
) -> None:
    interrupt(project, "--redis", open_valkey.url)
    project.spec(RENAMED)

    refused = rsq_pipe("run", project.path, "--redis", open_valkey.url, cwd=project.root)
    assert refused.returncode == 2
    assert "stage 'slow' holds" in refused.stderr
    told = rsq_pipe("doctor", project.path, "--redis", open_valkey.url, cwd=project.root)
    assert f"rsq-pipe plan {project.path}" in told.stdout
    renamed = paste(offered(refused.stderr, "--rename"), project.root)

    assert renamed.returncode in (0, 4), renamed.stderr
    assert project.numbers("out/all.jsonl") == [n for n in range(COUNT) if n != 3]
    listed = rsq_pipe("dlq", "list", project.path, "--redis", open_valkey.url, cwd=project.root)
    assert "sluggish" in listed.stdout


def test_on_the_embedded_server_the_old_file_finishes_what_it_began(project: Project) -> None:
    interrupt(project)
    project.spec(RENAMED)

    refused = rsq_pipe("run", project.path, cwd=project.root)
    finished = paste(offered(refused.stderr, "--show-last"), project.root)
    purged = rsq_pipe("dlq", "purge", "--yes", project.path.with_suffix(".last.yaml"), cwd=project.root)
    project.records(range(COUNT, COUNT + 10))
    again = rsq_pipe("run", project.path, cwd=project.root)

    assert refused.returncode == 2
    assert finished.returncode in (0, 4), finished.stderr
    assert purged.returncode == 0
    assert again.returncode == 0, again.stderr
    assert project.numbers("out/all.jsonl") == [n for n in range(COUNT + 10) if n != 3]


def test_dead_letters_that_are_left_are_replayed_by_the_offered_command(
    project: Project, valkey: StreamServer
) -> None:
    interrupt(project, url=valkey.url)
    rsq_pipe("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=valkey.url)
    project.spec(RENAMED)
    refused = rsq_pipe("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=valkey.url)
    project.handlers("def slow(record): return record")

    replayed = paste(offered(refused.stderr, "dlq replay"), project.root, RSQ_PIPE_REDIS=valkey.url)
    again = rsq_pipe("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=valkey.url)

    assert "stage 'slow' holds 1 dead letter" in refused.stderr
    assert replayed.returncode == 0, replayed.stderr
    assert again.returncode == 0, again.stderr
    assert project.numbers("out/all.jsonl") == list(range(COUNT))


def test_what_is_discarded_is_exported_first(project: Project, valkey: StreamServer) -> None:
    interrupt(project, url=valkey.url)
    project.spec(STAGES.replace('slow: {call: "handlers:slow"}', ""))
    refused = rsq_pipe("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=valkey.url)

    discarded = paste(offered(refused.stderr, "--discard"), project.root, RSQ_PIPE_REDIS=valkey.url)

    assert discarded.returncode == 0, discarded.stderr
    (file,) = project.root.glob("*-slow-discarded-*.jsonl")
    lost = [json.loads(line)["payload"]["n"] for line in file.read_text().splitlines()]
    assert sorted([*lost, *project.numbers("out/all.jsonl")]) == list(range(COUNT))
    assert "discarded of stage 'slow'" in discarded.stderr


def test_a_discard_of_a_name_that_no_run_had_is_a_mistake(project: Project, valkey: StreamServer) -> None:
    project.spec(STAGES.replace('slow: {call: "handlers:slow"}', ""))
    rsq_pipe("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=valkey.url)

    refused = rsq_pipe("run", project.path, "--discard", "slwo", cwd=project.root, RSQ_PIPE_REDIS=valkey.url)

    assert refused.returncode == 2
    assert "never ran with a stage 'slwo'; its stages are all in the file" in refused.stderr


@on_one_server
def test_a_rename_that_was_killed_is_completed_by_the_same_command(
    project: Project, server: StreamServer
) -> None:
    interrupt(project, "--redis", server.url)
    stages, command = STAGES, ["run", str(project.path), "--redis", server.url]
    for old, new in {"slow": "sluggish", "read": "load", "out": "write"}.items():
        stages = stages.replace(f"{old}:", f"{new}:", 1)
        command += ["--rename", f"{old}={new}"]
    project.spec(stages)
    with redis.Redis.from_url(server.url) as client:
        killed = start(*command, cwd=project.root)
        second = f"{{{project.pipeline}}}:load"
        eventually(lambda: client.exists(second), what="the second of three has its new name")
        killed.kill()
        killed.communicate()

    again = rsq_pipe(*command, cwd=project.root)

    assert again.returncode in (0, 4), again.stderr
    assert project.numbers("out/all.jsonl") == [n for n in range(COUNT) if n != 3]


@on_one_server
def test_a_stage_that_reads_elsewhere_and_was_killed_while_it_moved_goes_on(
    project: Project, server: StreamServer
) -> None:
    many = 12_000
    project.records(range(COUNT, many))
    chain = """
        read: {source: {type: jsonl, path: in.jsonl}}
        add: {map: {k: "n + 1"}}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """
    project.spec(chain, top="max_backlog: 100000")
    command = ["run", str(project.path), "--redis", server.url]
    with redis.Redis.from_url(server.url) as client:
        group = f"{{{project.pipeline}}}:add", f"{{{project.pipeline}}}:out:again"
        feeding = start(*command, "--stage", "read", "--stage", "add", cwd=project.root)
        eventually(
            lambda: appended(client, project, "add") == many, timeout=TO_END, what="all of it waits for `out`"
        )
        feeding.send_signal(signal.SIGTERM)
        feeding.communicate(timeout=PATIENCE)
        project.spec(chain.replace("out: {", "out: {from: read, "), top="max_backlog: 100000")
        killed = start(*command, cwd=project.root)
        eventually(lambda: client.exists(group[1]) and client.xlen(group[1]), what="it moves")
        killed.kill()
        killed.communicate()
        moved = client.xlen(group[1])

    again = rsq_pipe(*command, cwd=project.root)

    assert 0 < moved < many
    assert again.returncode == 0, again.stderr
    assert project.numbers("out/all.jsonl") == list(range(many))


@on_one_server
def test_a_discard_that_was_killed_is_completed_by_the_same_command(
    project: Project, server: StreamServer
) -> None:
    many = 12_000
    project.records(range(COUNT, many))
    project.spec(STAGES, top="max_backlog: 100000")
    command = ["run", str(project.path), "--redis", server.url]
    with redis.Redis.from_url(server.url) as client:
        feeding = start(*command, cwd=project.root)
        eventually(
            lambda: appended(client, project, "read") > many // 2,
            what="most of it waits for `slow`",
        )
        feeding.send_signal(signal.SIGTERM)
        feeding.communicate(timeout=PATIENCE)
    project.spec(STAGES.replace('slow: {call: "handlers:slow"}', ""), top="max_backlog: 100000")
    command += ["--discard", "slow"]
    killed = start(*command, cwd=project.root)
    eventually(lambda: list(project.root.glob(".*-slow-discarded-*.part")), what="it exports")
    killed.kill()
    killed.communicate()
    exported = list(project.root.glob("*-slow-discarded-*.jsonl"))

    again = rsq_pipe(*command, cwd=project.root)

    assert exported == []
    assert again.returncode == 0, again.stderr
    (file,) = project.root.glob("*-slow-discarded-*.jsonl")
    lost = [json.loads(line)["payload"]["n"] for line in file.read_text().splitlines()]
    assert sorted([*lost, *project.numbers("out/all.jsonl")]) == list(range(many))


@on_one_server
def test_1_an_export_that_cannot_be_written_is_told_in_one_line_and_takes_nothing_away(
    project: Project, server: StreamServer
) -> None:
    interrupt(project, "--redis", server.url)
    project.spec(STAGES.replace('slow: {call: "handlers:slow"}', ""))

    done = rsq_pipe("run", project.path, "--redis", server.url, "--discard", "slow", cwd=Path("/proc"))
    after = rsq_pipe("plan", project.path, "--redis", server.url, "--json", cwd=project.root)

    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert "cannot be written: No such file or directory; nothing of stage 'slow' was taken away" in line
    assert not json.loads(after.stdout)["goes_on"]


@on_one_server
def test_a_prune_that_was_killed_is_completed_by_the_same_command(
    project: Project, server: StreamServer
) -> None:
    project.spec(STAGES)
    rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    stream = f"{{{project.pipeline}}}:slow"
    command = ["plan", str(project.path), "--redis", server.url, "--prune"]
    with redis.Redis.from_url(server.url) as client:
        pipe = client.pipeline()
        for number in range(5_000):
            pipe.xgroup_create(stream, f"audit-{number}", "$")
        pipe.execute()
        killed = start(*command, cwd=project.root)
        eventually(lambda: len(client.xinfo_groups(stream)) < 5_000, what="it removes groups")
        killed.kill()
        killed.communicate()
        left = len(client.xinfo_groups(stream))

        again = rsq_pipe(*command, cwd=project.root)

        assert left > 1
        assert again.returncode == 0, again.stderr
        assert [group["name"] for group in client.xinfo_groups(stream)] == [b"add"]
    project.records(range(COUNT, COUNT + 5))
    assert rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root).returncode == 0
    assert project.numbers("out/all.jsonl") == [n for n in range(COUNT + 5) if n != 3]


@on_one_server
def test_plan_tells_by_its_exit_code_whether_a_run_goes_on(project: Project, server: StreamServer) -> None:
    interrupt(project, "--redis", server.url)
    same = rsq_pipe("plan", project.path, "--redis", server.url, cwd=project.root)
    project.spec(RENAMED)
    other = rsq_pipe("plan", project.path, "--redis", server.url, "--json", cwd=project.root)
    shown = rsq_pipe("plan", project.path, "--redis", server.url, "--show-last", cwd=project.root)

    document = json.loads(other.stdout)
    assert (same.returncode, other.returncode, shown.returncode) == (0, 1, 0)
    assert "goes on" in same.stdout
    assert not document["goes_on"]
    (slow,) = [stage for stage in document["stages"] if stage["stage"] == "slow"]
    assert (slow["kind"], slow["heir"]) == ("renamed", "sluggish")
    assert shown.stdout == project.spec(STAGES).read_text()


def test_plan_names_who_runs_another_version_of_the_file_and_says_whether_a_run_waits_for_that(
    project: Project, server: StreamServer
) -> None:
    project.spec(
        """
        read: {source: {type: stream, stream: NAME.in}}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """.replace("NAME", project.pipeline)
    )
    process = start("run", project.path, "--redis", server.url, cwd=project.root)
    try:
        plan = ("plan", project.path, "--redis", server.url)
        eventually(
            lambda: "never ran" not in rsq_pipe(*plan, cwd=project.root).stdout,
            timeout=TO_END,
            what="it runs",
        )
        assert "`rsq-pipe run` goes on with this file." in rsq_pipe(*plan, cwd=project.root).stdout
        text = project.path.read_text()
        project.path.write_text(text.replace("out/all", "out/more"))
        changed = rsq_pipe(*plan, cwd=project.root)
        project.path.write_text(text.replace("  out:", "  m: {map: {m: n}}\n  out:"))
        between = rsq_pipe(*plan, cwd=project.root)
        refused = rsq_pipe("run", *plan[1:], cwd=project.root)
        told = json.loads(rsq_pipe(*plan, "--json", cwd=project.root).stdout)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert changed.returncode == 0
    assert "goes on with this file; until the processes of another version are stopped" in changed.stdout
    assert "once the processes of another version have ended, and refuses it before" in between.stdout
    assert (refused.returncode, "is being run from another file by run-" in refused.stderr) == (1, True)
    assert [name.startswith("run-") for name in told["runs_of_another_version"]] == [True]


def test_plan_of_a_pipeline_that_never_ran_starts_no_server(project: Project) -> None:
    project.spec(STAGES)

    planned = rsq_pipe("plan", project.path, cwd=project.root)

    assert planned.returncode == 0
    assert "never ran" in planned.stdout
    assert list((project.root / ".rsq").iterdir()) == []


@on_one_server
def test_settings_of_the_whole_pipeline_are_named_and_secrets_of_stages_need_not_be_set(
    project: Project, server: StreamServer
) -> None:
    stages = STAGES.replace('"handlers:slow"', '"handlers:slow", with: {key: "${secret:API_KEY}"}')
    project.handlers("def slow(record, key):\n    return record\n")
    where = ("--redis", server.url)
    project.spec(stages, top="keep: 1h")
    done = rsq_pipe("run", project.path, *where, cwd=project.root, API_KEY="s3cret")
    assert done.returncode == 0, done.stderr

    same = rsq_pipe("plan", project.path, *where, cwd=project.root)
    project.spec(stages, top="keep: 2h\nmax_backlog: 500")
    shown = rsq_pipe("plan", project.path, *where, cwd=project.root)
    listed = rsq_pipe("plan", project.path, *where, "--json", cwd=project.root)

    assert "the file is the one that ran last" in same.stdout, same.stderr
    assert "2 settings of the pipeline" in shown.stdout
    assert "keep is 2h instead of 1h.\nmax_backlog is 500, and was not set." in shown.stdout
    assert json.loads(listed.stdout)["settings"] == [
        {"setting": "keep", "before": "1h", "now": "2h"},
        {"setting": "max_backlog", "before": None, "now": "500"},
    ]
    assert json.loads(listed.stdout)["differs"] is True
