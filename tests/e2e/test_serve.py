"""`rsq-pipe serve` as a process: it answers, ends cleanly, and lets nobody in unasked."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.command_line import rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually

TOKEN = "0123456789abcdef"


def address(process: subprocess.Popen[str]) -> str:
    """Wait until it says where it is."""
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://\S+", line)
    assert found, line
    return found[0].rstrip("/")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_until_it_is_told_to_end(
    server: StreamServer, tmp_path: Path, number: signal.Signals
) -> None:
    process = start("serve", "--redis", server.url, "--port", "0", cwd=tmp_path)
    try:
        url = address(process)
        with urllib.request.urlopen(f"{url}/api/session", timeout=PATIENCE) as found:
            told = json.load(found)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()

    assert (told["read_only"], told["login_needed"]) == (False, False)
    assert (process.returncode, out, err) == (0, "", "")


def test_serve_serves_the_server_that_a_pipeline_file_names(
    server: StreamServer, tmp_path: Path, name: str
) -> None:
    project = Project(tmp_path / "project", name)
    project.spec(
        "read: {source: {type: generate, count: 3}}\nout: {sink: {type: jsonl, path: out.jsonl}}",
        top=f'redis: {{url: "{server.url}"}}',
    )
    never = rsq_pipe("serve", "nowhere.yaml", "--port", "0", cwd=project.root)
    assert rsq_pipe("run", project.path, cwd=project.root).returncode == 0
    process = start("serve", project.path, "--port", "0", cwd=project.root)
    try:
        with urllib.request.urlopen(f"{address(process)}/api/pipelines", timeout=PATIENCE) as found:
            told = json.load(found)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert name in [one["name"] for one in told["pipelines"]]
    assert never.returncode == 2
    assert "nowhere.yaml:1:1: there is no such file" in never.stderr


def test_another_host_needs_a_token(server: StreamServer, tmp_path: Path) -> None:
    done = rsq_pipe("serve", "--redis", server.url, "--host", "0.0.0.0", cwd=tmp_path)

    assert done.returncode == 2
    assert "lets other machines in; give --token NAME=TOKEN" in " ".join(done.stderr.split())


def test_a_token_in_a_file_lets_in_who_knows_it(server: StreamServer, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"# who may\nops={TOKEN}\n")
    process = start(
        *("serve", "--redis", server.url, "--host", "0.0.0.0", "--port", "0", "--token-file", "tokens"),
        cwd=tmp_path,
    )
    try:
        url = address(process).replace("0.0.0.0", "127.0.0.1") + "/api/pipelines"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=PATIENCE)
        known = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(known, timeout=PATIENCE) as found:
            assert "pipelines" in json.load(found)
    finally:
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)

    assert refused.value.code == 401
    refused.value.close()
    assert TOKEN not in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--token", "ops"), "a token is written NAME=TOKEN"),
        (("--token", "ops=short"), "less than 16 characters"),
        (("--token", f"a={TOKEN}", "--token", f"a={TOKEN}1"), "two tokens 'a'"),
        (("--jaeger", "localhost"), "is not a URL"),
        (("--host", "no.such.host.invalid", "--token", f"a={TOKEN}"), "cannot answer on"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    done = rsq_pipe("serve", "--redis", "redis://127.0.0.1:1", *words, cwd=tmp_path)

    assert done.returncode == 2
    assert why in " ".join(done.stderr.split())
    assert TOKEN not in done.stderr


SPEC = """
    read: {source: {type: jsonl, path: in.jsonl}}
    wait: {call: "handlers:wait"}
    out: {sink: {type: jsonl, path: out.jsonl}}
"""
HANDLERS = """
    import pathlib, time

    def wait(record):
        pathlib.Path("begun").touch()
        while not pathlib.Path("end").exists():
            time.sleep(0.01)
        return record
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.spec(SPEC)
    project.handlers(HANDLERS)
    project.records([1])
    return project


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_run_serves_the_page_of_its_embedded_server_until_it_ends(project: Project, processes: str) -> None:
    process = start(
        *("run", project.path, "--page", "0", "--quiet", "--processes", processes), cwd=project.root
    )
    try:
        url = address(process)
        eventually((project.root / "begun").exists, 20, "the handler is called")
        with urllib.request.urlopen(f"{url}/api/pipelines/{project.pipeline}", timeout=PATIENCE) as found:
            told = json.load(found)
        (project.root / "end").touch()
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()

    assert (told["state"], told["stages"]["wait"]["pending"]) == ("running", 1)
    assert told["server"].startswith("unix://")
    assert (process.returncode, err) == (0, "")
    assert project.numbers() == [1]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/api/session", timeout=PATIENCE)


def test_the_page_ends_with_a_run_that_is_killed(server: StreamServer, project: Project) -> None:
    process = start("run", project.path, "--redis", server.url, "--page", "0", cwd=project.root)
    url = address(process)
    eventually((project.root / "begun").exists, 20, "the handler is called")
    urllib.request.urlopen(f"{url}/api/session", timeout=PATIENCE).close()
    process.kill()
    process.communicate()

    def ended() -> bool:
        try:
            urllib.request.urlopen(f"{url}/api/session", timeout=PATIENCE).close()
        except urllib.error.URLError:
            return True
        return False

    eventually(ended, 15, "the page is gone")


def test_the_page_beside_a_run_is_for_this_machine_alone(project: Project) -> None:
    for words in ("0.0.0.0", "0.0.0.0:8710", "x:y", "127.0.0.1:99999"):
        done = rsq_pipe("run", project.path, "--page", words, cwd=project.root)
        assert done.returncode == 2, words
        assert "--page" in done.stderr


def test_an_address_that_is_taken_is_told_before_anything_runs(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = rsq_pipe("run", project.path, "--page", port, cwd=project.root)

    assert done.returncode == 2
    assert f"cannot answer on 127.0.0.1:{port}" in " ".join(done.stderr.split())
    assert not (project.root / "begun").exists()
