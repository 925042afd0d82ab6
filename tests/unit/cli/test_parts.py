"""What `dev` learns of the files behind a pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.cli.reloading.parts import described
from rsq_pipe.spec.loader import load


@pytest.mark.parametrize("text", ["def keep(record): return record[", "def keep(record): return '\0'", None])
def test_a_module_that_cannot_be_read_any_more_after_it_was_loaded_is_watched_all_the_same(
    tmp_path: Path, text: str | None
) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "in.jsonl").touch()
    code = tmp_path / f"{tmp_path.name.replace('-', '_')}.py"
    code.write_text("def keep(record): return record\n")
    (tmp_path / "spec.yaml").write_text(f"""
version: 1
pipeline: p
stages:
  read: {{source: {{type: jsonl, path: in.jsonl}}}}
  keep: {{call: "{code.stem}:keep"}}
  out: {{sink: {{type: stdout}}}}
""")
    graph = load(tmp_path / "spec.yaml")
    if text is None:
        code.unlink()
    else:
        code.write_text(text)

    parts = described(graph)["parts"]

    assert parts[str(code)]["files"] == [str(code)]
