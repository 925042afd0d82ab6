"""`rsq-pipe serve` as a process: it answers, ends cleanly, and lets nobody in unasked."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.command_line import rsq_pipe, start
from tests.support.server import StreamServer

TOKEN = "0123456789abcdef"


def address(process: subprocess.Popen[str]) -> str:
    """Wait until it says where it is."""
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://\S+", line)
    assert found, line
    return found[0].rstrip("/")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_told_to_end(
    server: StreamServer, tmp_path: Path, number: signal.Signals
) -> None:
    process = start("serve", "--redis", server.url, "--port", "0", cwd=tmp_path)
    try:
        url = address(process)
        with urllib.request.urlopen(f"{url}/api/session", timeout=10) as found:
            told = json.load(found)
        process.send_signal(number)
        out, err = process.communicate(timeout=15)
    finally:
        process.kill()

    assert (told["read_only"], told["login_needed"]) == (False, False)
    assert (process.returncode, out, err) == (0, "", "")


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
            urllib.request.urlopen(url, timeout=10)
        known = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(known, timeout=10) as found:
            assert "pipelines" in json.load(found)
    finally:
        process.terminate()
        _, err = process.communicate(timeout=15)

    assert refused.value.code == 401
    refused.value.close()
    assert TOKEN not in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--token", "ops"), "a token is written NAME=TOKEN"),
        (("--token", "ops=short"), "less than 16 characters"),
        (("--token", f"a={TOKEN}", "--token", f"a={TOKEN}1"), "two tokens 'a'"),
        (("--jaeger", "localhost"), "is no URL"),
        (("--host", "no.such.host.invalid", "--token", f"a={TOKEN}"), "cannot answer on"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    done = rsq_pipe("serve", "--redis", "redis://127.0.0.1:1", *words, cwd=tmp_path)

    assert done.returncode == 2
    assert why in " ".join(done.stderr.split())
    assert TOKEN not in done.stderr
