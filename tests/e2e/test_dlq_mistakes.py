"""`rsq-pipe dlq` tells a mistake of the command line, with its fix and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.dlq_shop import Shop, on_one_server, one_in_a_hundred_failed
from tests.support.preloaded import COMMAND
from tests.support.server import StreamServer


@pytest.fixture
def shop(server: StreamServer, name: str, tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop", name, server)


@pytest.fixture(scope="module")
def looked_at(server: StreamServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """What `failed` is, for the tests that change nothing."""
    return one_in_a_hundred_failed(
        Shop(tmp_path_factory.mktemp("dlq") / "shop", "t-looked-at-mistakes", server)
    )


@on_one_server
def test_a_named_dead_letter_that_other_options_leave_out_is_not_missing(looked_at: Shop) -> None:
    exported = looked_at.dlq("export").stdout
    (looked_at.root / "ten.jsonl").write_text(exported)

    for words in (["--where", "n < 0"], ["--stage", "read"], ["--since", "2999-01-01"]):
        done = looked_at.dlq("replay", "--edit", "ten.jsonl", "--yes", *words)
        assert (done.returncode, done.stderr) == (0, ""), words
        assert "0 dead letters replayed\n" in done.stdout


@on_one_server
@pytest.mark.parametrize("verb", ["replay", "purge"])
def test_a_dead_letter_that_is_named_and_nowhere_is_a_failure(looked_at: Shop, verb: str) -> None:
    for words in (["--id", "1-1"], ["--id", "price/1-1", "--dry-run"], ["--id", "nowhere/1-1"]):
        done = looked_at.dlq(verb, "--yes", *words)
        assert done.returncode == 1
        assert "1 of the dead letters named is not in the queue (any more)" in done.stderr


@on_one_server
def test_a_choice_that_nothing_matches_is_told_from_an_empty_queue(looked_at: Shop) -> None:
    for words in (["--id", "1-1"], ["--where", "n < 0"], ["--since", "2999-01-01"]):
        for verb in ("list", "show"):
            done = looked_at.dlq(verb, *words)
            said = f"{looked_at.pipeline}: no dead letter matches, of 10\n"
            assert (done.returncode, done.stdout) == (0, said)
    assert looked_at.dlq("list", "--stage", "read").stdout.endswith(": no dead letters of stage read\n")


@on_one_server
def test_a_pipeline_is_named_by_its_name_where_the_server_is_given(looked_at: Shop) -> None:
    done = looked_at.do("dlq", "list", looked_at.pipeline, "--redis", looked_at.server.url, "--json")

    assert json.loads(done.stdout)["count"] == 10


@on_one_server
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["list", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["list", "Not a name"], 2, "neither a pipeline's file nor a pipeline's name"),
        (["list", "pipeline.yaml", "--redis", "redis://127.0.0.1:1"], 3, "not reachable"),
        (["list", "pipeline.yaml", "--where", "n.x > 1"], 2, "column 1"),
        (["list", "pipeline.yaml", "--since", "yesterday"], 2, "neither a duration"),
        (["replay", "pipeline.yaml", "--yes", "--set", "price"], 2, "write field=value"),
        (["replay", "pipeline.yaml", "--yes", "--rate", "0/s"], 2, "more than nothing"),
        (["replay", "pipeline.yaml", "--yes", "--id", "x"], 2, "is not an entry id"),
        (["replay", "pipeline.yaml", "--id", "read:in:1"], 2, "--where \"dlq['rid'] == 'read:in:1'\""),
        (["replay", "pipeline.yaml", "--all"], 2, "all dead letters are meant where no --stage"),
        (["export", "pipeline.yaml", "--raw"], 2, "name it with --id"),
        (["export", "pipeline.yaml"], 1, "never ran"),
    ],
)
def test_mistakes_are_told_with_their_mend_and_an_exit_code(
    shop: Shop, words: list[str], code: int, says: str
) -> None:
    done = shop.do("dlq", *words)

    assert done.returncode == code
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_name_without_a_server_is_asked_for_one(tmp_path: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("RSQ_")}

    done = subprocess.run(
        [COMMAND, "dlq", "list", "shop"], cwd=tmp_path, env=environ, capture_output=True, check=False
    )

    assert done.returncode == 2
    assert b"--redis URL" in done.stderr
