"""Project: a folder with a pipeline file, its handlers and its data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

QUICK = """
    defaults:
      batch: {size: 50, wait: 2ms}
      retry: {attempts: 3, backoff: {first: 20ms, max: 40ms, jitter: 0}}
"""
"""Settings under which a test does not wait."""


class Project:
    """
    Write the files of one pipeline.

    Args:
        root: An empty folder.
        pipeline: The pipeline's name.
    """

    def __init__(self, root: Path, pipeline: str) -> None:
        self.root = root
        self.pipeline = pipeline
        (root / ".rsq").mkdir(parents=True)
        (root / "pyproject.toml").touch()  # so that nobody looks further up for the project's root

    @property
    def path(self) -> Path:
        return self.root / "pipeline.yaml"

    def spec(self, stages: str, *, top: str = "", defaults: str = QUICK) -> Path:
        """Write the pipeline file; `top` holds further keys besides `stages`."""
        parts = ["version: 1", f"pipeline: {self.pipeline}", dedent(defaults), dedent(top), "stages:"]
        self.path.write_text("\n".join([*parts, indent(dedent(stages), "  ")]) + "\n")
        return self.path

    def handlers(self, text: str) -> None:
        """Write `handlers.py`."""
        (self.root / "handlers.py").write_text(dedent(text))

    def records(self, numbers: Iterable[int], path: str = "in.jsonl", **fields: Any) -> None:
        """Append the records {"n": NUMBER, ...} to a source file."""
        with (self.root / path).open("a") as file:
            file.writelines(json.dumps({"n": number, **fields}) + "\n" for number in numbers)

    def lines(self, path: str = "out.jsonl") -> list[dict[str, Any]]:
        """Read a sink's file; every line must be whole."""
        file = self.root / path
        if not file.exists():
            return []
        text = file.read_text()
        assert text == "" or text.endswith("\n"), f"{path} ends in half a line"
        return [json.loads(line) for line in text.splitlines()]

    def lines_so_far(self, path: str = "out/all.jsonl") -> list[str]:
        """Read the whole lines of a file that is being written."""
        file = self.root / path
        text = file.read_text() if file.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def numbers(self, path: str = "out.jsonl") -> list[int]:
        """Read the field `n` of a sink's file, sorted, so that duplicates show."""
        return sorted(line["n"] for line in self.lines(path))
