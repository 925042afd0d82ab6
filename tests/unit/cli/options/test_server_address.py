"""`--redis URL`: what is wrong with it is the user's mistake, and is told without a secret of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from rsq_pipe.cli.errors import unusable_name
from rsq_pipe.cli.main import cli


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:6379/1", "write redis:// before it"),
        ("hunter2@localhost:6379", "this one does not"),
        ("redis://h:1/hunter2", "the database in it is not a number"),
        ("redis://h:1/-1", "the database in it is not a number"),
        ("redis+sentinel://h:1/orders/hunter2", "the database in it is not a number"),
        ("unix://?db=1", "it names no socket; write its whole path: unix:///run/redis.sock"),
        ("redis://h:1?db=hunter2", "its setting `db` has a value that cannot be read"),
        ("redis://h:1?socket_timeout=soon", "its setting `socket_timeout` has a value that cannot be read"),
        (
            "redis://h:1?hunter2=2",
            "a setting after its ? is not a connection setting",
        ),
        ("redis://h:1?protocol=9", "a setting in it is wrong: protocol must be either 2 or 3"),
        ("rediss://h:1?ssl_cert_reqs=x", "a setting in it is wrong: Invalid SSL Certificate Requirements"),
    ],
)
def test_a_mistake_in_it_is_told(url: str, said: str) -> None:
    done = CliRunner().invoke(cli, ["pipelines", "--redis", url], env={"COLUMNS": "400"})

    assert (done.exit_code, said in done.output) == (2, True), (done.output, done.exception)
    assert "hunter2" not in done.output


def test_a_file_that_it_names_and_that_is_not_there_is_no_socket() -> None:
    done = CliRunner().invoke(cli, ["pipelines", "--redis", "rediss://127.0.0.1:1?ssl_ca_certs=/nofile"])

    assert "a file that its URL names is not there" in str(done.exception)


def test_a_folder_that_was_removed_under_a_command_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError) as raised:
        os.getcwd()  # noqa: PTH109  as libraries do

    assert unusable_name(raised.value) == "the current folder was removed; change to another one"
