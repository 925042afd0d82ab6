"""Our own contender: pipeline files, and the command that runs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.program import Ended, Program

# The command installed next to the Python that runs the benchmarks.
RSQ_PIPE = Path(sys.executable).parent / "rsq-pipe"
HANDLERS = "def touch(record):\n    record['quantity'] += 1\n    return record\n"
CALLS = {
    "one": {"call": "handlers:touch"},
    "two": {"call": "handlers:touch"},
    "three": {"call": "handlers:touch"},
}
# More than any benchmark leaves in a stream that outsiders write or read.
ROOM = 10_000_000


def project(folder: Path, pipeline: str, stages: dict[str, Any], **settings: Any) -> Path:
    """Write a pipeline file and its handlers into a folder, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").touch()
    (folder / "handlers.py").write_text(HANDLERS)
    path = folder / "pipeline.yaml"
    path.write_text(
        yaml.safe_dump({"version": 1, "pipeline": pipeline, **settings, "stages": stages}, sort_keys=False)
    )
    return path


def three_calls(source: str, target: str) -> dict[str, Any]:
    """Return three `call` stages between two streams."""
    stages: dict[str, dict[str, Any]] = {name: dict(stage) for name, stage in CALLS.items()}
    stages["one"] = {"from": {"stream": source}, **stages["one"]}
    stages["three"]["to"] = {"stream": target}
    return stages


def run_to_end(spec: Path, url: str, *options: str, environ: dict[str, str] | None = None) -> Ended:
    """Run a pipeline whose source ends, as a command."""
    return Program(run_command(spec, url, "--fresh", "--yes", *options), spec.parent, environ).wait()


def run_command(spec: Path, url: str, *options: str) -> list[str | Path]:
    """Return the command line that runs a pipeline."""
    return [RSQ_PIPE, "run", spec, "--redis", url, *options]
