"""The command line's frame: errors to messages and exit codes, commands imported when called."""

from __future__ import annotations

import errno
import re
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest
from click.testing import CliRunner

from rsq_pipe import errors
from rsq_pipe.cli.errors import exit_code, report, report_fault
from rsq_pipe.cli.main import COMMANDS, cli, main
from rsq_pipe.cli.options.dead_letter_types import SinceType
from rsq_pipe.spec.problem import Problem
from rsq_pipe.units import LONGEST

PROBLEM = Problem("orders.yaml", 3, 7, "stages.read", "it has no verb", "give it one")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SpecSyntaxError(PROBLEM), 2),
        (errors.SpecValidationError([PROBLEM]), 2),
        (errors.HandlerNotFoundError("there is no module 'a'"), 2),
        (errors.ServerUnavailableError("cannot reach localhost:6379"), 3),
        (errors.ServerTimeoutError("no answer"), 3),
        (errors.ServerStartError("no binary"), 3),
        (errors.SinkError("disk full"), 1),
        (errors.GroupLostError("the group is gone"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_has_an_exit_code(error: errors.RsqPipeError, code: int) -> None:
    assert exit_code(error) == code


def test_the_problems_of_a_spec_begin_with_their_place(capsys: pytest.CaptureFixture[str]) -> None:
    report(errors.SpecValidationError([PROBLEM]))

    assert capsys.readouterr().err.splitlines() == [
        "orders.yaml:3:7: stages.read: it has no verb; give it one",
        "rsq-pipe: 1 mistake; nothing was run",
    ]


def test_other_errors_begin_with_our_name(capsys: pytest.CaptureFixture[str]) -> None:
    report(errors.SinkError("out/large.jsonl: disk full"))

    assert capsys.readouterr().err == "rsq-pipe: out/large.jsonl: disk full\n"


def test_a_fault_of_ours_shows_its_traceback_only_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = report_fault(ValueError("x"), debug=False), capsys.readouterr().err
    loud = report_fault(ValueError("x"), debug=True), capsys.readouterr().err

    assert quiet[0] == loud[0] == 70
    assert "fault of rsq-pipe: ValueError: x" in quiet[1]
    assert "RSQ_DEBUG=1" in quiet[1]
    assert "ValueError: x\n" in loud[1].splitlines(keepends=True)[-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_command_says_itself(name: str) -> None:
    module, summary = COMMANDS[name]

    assert find_spec(module) is not None
    help_text = import_module(module).command.help
    assert help_text.strip().splitlines()[0] == summary


@pytest.mark.parametrize("words", [("validate",), ("test",), ("dlq", "list"), ("trace", "x")])
def test_a_name_that_no_file_can_have_is_a_mistake_and_no_fault_of_ours(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rsq-pipe", *words, "x" * 300 + ".yaml"])

    with pytest.raises(SystemExit) as ended:
        main()

    said = "".join(capsys.readouterr())
    assert ended.value.code == 2
    # Since Python 3.14, to ask whether there is such a file is no error either: there is none.
    assert re.search("File name too long; check|' is a file; it is `rsq-pipe trace SPEC ID`", said)
    assert "fault" not in said


def test_an_age_beyond_all_clocks_means_all_there_is() -> None:
    assert SinceType().convert("9" * 400 + "d", None, None).age == LONGEST


def test_the_usage_of_a_command_below_is_how_it_is_called() -> None:
    shown = CliRunner().invoke(cli, ["test", "capture", "--help"]).output

    assert "test capture [OPTIONS] SPEC" in " ".join(shown.split())
    whole = CliRunner().invoke(cli, ["test", "--help"]).output
    assert "test [OPTIONS] [SPEC|DIR]" in " ".join(whole.split())


def test_a_problem_is_one_line() -> None:
    problem = Problem("a.yaml", 1, 2, "", "two\nlines", "", "warning")

    assert str(problem) == "a.yaml:1:2: warning: two lines"


def test_two_options_of_which_one_would_be_passed_over_are_a_mistake() -> None:
    done = CliRunner().invoke(cli, ["plan", "none.yaml", "--show-last", "--prune"])

    assert done.exit_code == 2
    assert "leave it or --prune out" in done.output


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("ls", "did you mean 'pipelines'?"),
        ("lint", "did you mean 'validate'?"),
        ("replay", "did you mean `dlq list` or `dlq replay`?"),
        ("stop", "a run stops on Ctrl-C or SIGTERM"),
        ("reset", "`run --fresh` starts over"),
        ("help", "write `rsq-pipe --help`"),
        ("rnu", "did you mean 'run'?"),
    ],
)
def test_a_command_of_other_tools_is_answered_with_the_one_here(word: str, says: str) -> None:
    done = CliRunner().invoke(cli, [word])

    assert done.exit_code == 2
    assert f"there is no command '{word}'; {says}" in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "a.yaml", "--only", "read"], "there is no option --only; name a stage with `--stage`"),
        (["run", "a.yaml", "--workers", "4"], "use `--processes`, or `workers` in a stage"),
        (["run", "--full-refresh", "a.yaml"], "`--fresh` starts over"),
        (["run", "--frsh", "a.yaml"], "No such option '--frsh'."),
        (["dlq", "a.yaml"], "there is no command 'a.yaml' of dlq; write `rsq-pipe dlq list a.yaml`"),
        (["dlq", "lst"], "there is no command 'lst' of dlq; did you mean 'list'?"),
    ],
)
def test_an_option_of_other_tools_and_a_forgotten_command_are_answered(
    arguments: list[str], says: str
) -> None:
    done = CliRunner().invoke(cli, arguments)

    assert done.exit_code == 2
    assert says in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (MemoryError(), "batch"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
    ],
)
def test_a_machine_that_has_no_more_of_something_is_no_fault_of_ours(
    error: Exception, mend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = report_fault(error, debug=False)

    said = capsys.readouterr().err
    assert code == 70
    assert said.startswith("rsq-pipe: this process may ")
    assert mend in said
    assert "report" not in said
