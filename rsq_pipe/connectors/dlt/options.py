"""Options: the settings of the source and the sink `dlt`, checked without dlt: importing it takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rsq_pipe.connectors.column_names import ColumnNames
from rsq_pipe.connectors.function_name import function_name
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.suggestion import suggest
from rsq_pipe.units import Duration


class ReadOptions(Settings):
    """Settings of the `dlt` source: what a source or resource of dlt brings."""

    call: Annotated[str, *function_name("feeds:github")] = Field(
        description="What makes the source: `module:function`, looked up in the project root, then beside "
        "this file; a function with `@dlt.source` or `@dlt.resource`, or one that returns such an object."
    )
    with_: dict[str, Any] = Field(
        default={},
        alias="with",
        repr=False,
        description="Arguments for it: `{owner: dlt-hub, token: ${secret:T}}`.",
    )
    resource: str = Field(
        default="", description="Which resource of the source to read, if it has more than one."
    )
    every: Duration | None = Field(
        default=None,
        gt=0,
        description="Read again after this time, with the state that the last reading left. Default: once "
        "per run.",
    )


def check_destination(name: str) -> str:
    """
    Accept a destination that dlt has a folder for, the path of a class, or a configured name.

    Raises:
        ValueError: dlt has no destination of this name.
    """
    own = _own()
    if not own or name in own or "." in name or _may_be_configured(name):
        return name
    raise ValueError(f"dlt has no destination {name!r}; {suggest(name, sorted(own))}")


def _own() -> set[str]:
    """Name the destinations that come with dlt; none if it is not installed, or has another layout."""
    spec = find_spec("dlt")
    places = spec.submodule_search_locations or () if spec is not None else ()
    found = (file for place in places for file in Path(place).glob("destinations/impl/*/factory.py"))
    return {file.parent.name for file in found}


def _may_be_configured(name: str) -> bool:
    """Return whether a variable, a dlt file or a plugin may define a name."""
    if f"DESTINATION__{name.upper()}__DESTINATION_TYPE" in os.environ or "DLT_PROJECT_DIR" in os.environ:
        return True
    plugins = (point for point in entry_points(group="dlt") if point.name != "dlt")
    return any(name in text for text in _settings()) or any(plugins)


def _settings() -> Iterator[str]:
    """Read the files that configure dlt: those of the current folder, and the user's."""
    for folder in (Path(".dlt"), Path(os.environ.get("DLT_DATA_DIR") or "~/.dlt").expanduser()):
        for file in folder.glob("*.toml"):
            yield file.read_text(errors="replace")


class WriteOptions(Settings):
    """Settings of the `dlt` sink: a table of whatever dlt writes to."""

    destination: Annotated[str, AfterValidator(check_destination)] = Field(
        min_length=1, description="Its name in dlt: `duckdb`, `snowflake`, `bigquery`, `filesystem`."
    )
    credentials: Any = Field(
        default=None,
        repr=False,
        description="In dlt's form: an address, `${secret:NAME}`, or a map. Default: wherever dlt looks for "
        "them.",
    )
    with_: dict[str, Any] = Field(
        default={},
        alias="with",
        description="Further arguments of the destination: `{bucket_url: s3://lake}`.",
    )
    dataset: str = Field(min_length=1, description="The dataset, or schema.")
    table: str = Field(min_length=1, description="The table; dlt creates it, and adds columns as they come.")
    mode: Literal["merge", "append"] = Field(
        default="merge",
        description="Replace the row with the same `key`, so that each record is there once; or append, "
        "possibly some a second time after a crash.",
    )
    key: ColumnNames = Field(
        default=(),
        description="For `merge`, the fields of the key. Default: `rid`, the record's id, as an extra "
        "column.",
    )

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.key and self.mode == "append":
            raise ValueError("`key` is for `mode: merge`; set that, or leave it out")
        return self
