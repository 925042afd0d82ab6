"""A destination of dlt's is looked up by name, without an import of dlt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rsq_pipe.connectors.dlt.options import check_destination


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize("name", ["duckdb", "snowflake", "filesystem", "sqlalchemy", "lake.places.iceberg"])
def test_what_dlt_brings_and_what_names_a_class_is_let_through(name: str) -> None:
    assert check_destination(name) == name


def test_another_name_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(ValueError, match=r"dlt has no destination 'snwflake'; did you mean 'snowflake'\?"):
        check_destination("snwflake")
    with pytest.raises(ValueError, match=r"no destination 'oracle'; use athena, bigquery, "):
        check_destination("oracle")


def test_a_name_that_somebody_configured_is_let_through(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__LAKE__DESTINATION_TYPE", "filesystem")
    (folder / ".dlt").mkdir()
    (folder / ".dlt/config.toml").write_text('[destination.warehouse]\ndestination_type = "duckdb"\n')

    assert [check_destination(name) for name in ("lake", "warehouse")] == ["lake", "warehouse"]


def test_dlt_is_not_imported_for_it() -> None:
    code = (
        "import sys; from rsq_pipe.connectors.dlt.options import check_destination; "
        "check_destination('duckdb'); print('dlt' in sys.modules)"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
