"""A table whose client is not installed is told with what installs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.extras import install
from rsq_pipe.spec.loader import check
from rsq_pipe.spec.stages import lookup


@pytest.mark.parametrize(
    ("table", "extra"),
    [
        ('{postgres: {query: "select * from c where id = any($1)"}}', "postgres"),
        ('{http: "https://example.org/{id}"}', "http"),
    ],
)
def test_what_is_not_installed_is_a_mistake_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, extra: str
) -> None:
    monkeypatch.setattr(lookup, "installed", lambda package: False)
    path = tmp_path / "p.yaml"
    path.write_text(
        "version: 1\npipeline: p\nstages:\n"
        f"  a: {{from: {{stream: in}}, lookup: {{table: {table}, key: id, as: c}}, to: {{stream: out}}}}\n"
    )

    (problem,) = check(path, environ={}).problems

    assert (problem.line, problem.fix) == (4, install(extra))
