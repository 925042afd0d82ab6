"""Table: all connectors, by kind and type, each with its module and its guarantee."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from pydantic import BaseModel

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.extras import install

Kind = Literal["source", "sink"]
Model: TypeAlias = type[BaseModel]


class Listed(Struct, frozen=True):
    """
    Describe one of our connectors.

    Args:
        module: Its module, below `rsq_pipe.connectors`; imported when a file names the type.
        promise: How often a record enters, or is in the target, across stops and kills, and by what means.
        extra: The extra of this package that installs its dependencies; empty for none.
        needs: The module that the extra provides.
        ends: Whether a source may come to an end, by its settings at least.
        rereadable: Whether a source can be read from its beginning again, or from its oldest record.
    """

    module: str
    promise: str
    extra: str = ""
    needs: str = ""
    ends: bool = True
    rereadable: bool = True

    @property
    def missing(self) -> str:
        """The command to install the extra if it is missing; otherwise empty."""
        if not self.extra or find_spec(self.needs) is not None:
            return ""
        return install(self.extra)


SOURCES: dict[str, Listed] = {
    "csv": Listed("csv.source", "exactly once: resumes at the byte after the last record stored"),
    "dlt": Listed(
        "dlt.source",
        "exactly once if what was cut off comes again unchanged: resumes with dlt's state",
        "dlt",
        "dlt",
    ),
    "exec": Listed(
        "exec.source",
        "exactly once if the command writes the same again (`resume: skip`); else at least once",
    ),
    "generate": Listed("generate.source", "exactly once: resumes at the number after the last one stored"),
    "http": Listed(
        "http.source", "exactly once: resumes at the page after the last one stored", "http", "aiohttp"
    ),
    "json": Listed("json.source", "exactly once: resumes at the byte after the last record stored"),
    "jsonl": Listed("jsonl.source", "exactly once: resumes at the byte after the last record stored"),
    "kafka": Listed(
        "kafka.source",
        "exactly once: resumes at the offset after the last message stored",
        "kafka",
        "aiokafka",
    ),
    "objects": Listed(
        "objects.source", "exactly once: resumes after the last record stored", "objects", "obstore"
    ),
    "mqtt": Listed(
        "mqtt.source",
        "at least once: acknowledges a message once it is stored",
        "mqtt",
        "paho",
        ends=False,
        rereadable=False,
    ),
    "parquet": Listed(
        "parquet.source", "exactly once: resumes at the row after the last one stored", "parquet", "arro3"
    ),
    "postgres": Listed(
        "postgres.source",
        "exactly once: resumes after the last transaction and row stored",
        "postgres",
        "psycopg",
    ),
    "postgres_cdc": Listed(
        "postgres_cdc.source",
        "exactly once: resumes after the last change stored",
        "postgres",
        "psycopg",
        ends=False,
    ),
    "python": Listed("python.source", "exactly once: calls the function with the last position stored"),
    "schedule": Listed(
        "schedule.source",
        "exactly once: resumes after the last time stored",
        "schedule",
        "cronsim",
        ends=False,
    ),
    "stream": Listed("stream.source", "exactly once: reads through its own consumer group"),
    "webhook": Listed(
        "webhook.source",
        "at least once: answers a request once its records are stored",
        "http",
        "aiohttp",
        ends=False,
        rereadable=False,
    ),
}
"""Type of a source -> its entry; a new one is a file or folder, and a line here."""

SINKS: dict[str, Listed] = {
    "csv": Listed("csv.sink", "exactly once: what is not committed is cut off"),
    "dlt": Listed("dlt.sink", "each record once if they are merged by id; else at least once", "dlt", "dlt"),
    "duckdb": Listed("duckdb.sink", "exactly once: one transaction with its ledger", "duckdb", "duckdb"),
    "exec": Listed("exec.sink", "at least once: the command's exit, or its answers, say what is done"),
    "http": Listed(
        "http.sink", "at least once: each request has a key that names its record", "http", "aiohttp"
    ),
    "jsonl": Listed("jsonl.sink", "exactly once: what is not committed is cut off"),
    "kafka": Listed("kafka.sink", "exactly once: one transaction with its ledger", "kafka", "aiokafka"),
    "objects": Listed("objects.sink", "exactly once: each part is created once", "objects", "obstore"),
    "mysql": Listed("mysql.sink", "exactly once: one transaction with its ledger", "mysql", "pymysql"),
    "mqtt": Listed("mqtt.sink", "at least once", "mqtt", "paho"),
    "parquet": Listed("parquet.sink", "exactly once: what is not committed is cut off", "parquet", "arro3"),
    "postgres": Listed(
        "postgres.sink", "exactly once: one transaction with its ledger", "postgres", "psycopg"
    ),
    "python": Listed("python.sink", "at least once: the function gets the record ids"),
    "redis": Listed("redis.sink", "exactly once: one script with its ledger, on the server it names"),
    "sqlite": Listed("sqlite.sink", "exactly once: one transaction with its ledger"),
    "stdout": Listed("stdout", "at least once"),
    "stream": Listed("stream.sink", "exactly once: written in the settlement itself"),
}
"""Type of a sink -> its entry."""

LISTED: dict[Kind, dict[str, Listed]] = {"source": SOURCES, "sink": SINKS}


class Connector(Struct, frozen=True):
    """
    Hold one connector.

    Args:
        kind: Source or sink.
        type: Its name in a pipeline file.
        options: The model of its settings.
        connect: `connect(options, stage=..., root=...)` makes the Source or Sink, and is given
            `pipeline=...`, `client=...` or `ledger=...` if it asks for that; None if the runner does
            the work itself (`stream`), or a verb does.
        sender: `sender(options, stage=..., timeout=...)` makes the verb of a sink whose target takes several
            writers at once: it returns an outcome for each record, like a handler.
        endpoint: `endpoint(options, stage=..., root=...)` names what it connects to, and how to try that;
            None if the connector does not say.
        check: `check(function, name, values)` refuses, with HandlerContractError, a user's function that the
            setting `call` names, or the values of `with` (`check_function` of its module); None if there is
            no such setting.
        columns: `table_columns(options, root=..., seconds=...)` of its module reads the columns of the table
            that a sink writes, and changes nothing; None if it writes none.
    """

    kind: Kind
    type: str
    options: Model
    connect: Callable[..., Any] | None
    sender: Callable[..., Any] | None = None
    endpoint: Callable[..., Endpoint] | None = None
    check: Callable[[Any, str, Mapping[str, Any]], object] | None = None
    columns: Callable[..., Sequence[Column] | None] | None = None

    def made(
        self,
        options: object,
        *,
        pipeline: str,
        stage: str,
        root: Path,
        client: object = None,
        ledger: str = "",
    ) -> Any:
        """
        Make the source or sink of a stage; nothing is opened yet.

        Args:
            options: An instance of its model.
            pipeline, stage: The pipeline and the stage.
            root: The base of its paths.
            client: The pipeline's own server, if there is one.
            ledger: The name of a sink's ledger next to its target; empty for its stage's.

        Raises:
            LookupError: The runner does the work itself.
        """
        if self.connect is None:
            raise LookupError(f"{self.kind} {self.type!r} cannot be connected to")
        asked = signature(self.connect).parameters
        offered = {"pipeline": pipeline, "client": client, "ledger": ledger or stage}
        more = {name: value for name, value in offered.items() if name in asked}
        return self.connect(options, stage=stage, root=root, **more)


@cache
def connector(kind: Kind, type: str) -> Connector:  # noqa: A002  the word users write
    """
    Find a connector; imports its module and no other.

    Args:
        kind: `source` or `sink`.
        type: Its name: one from the table, or an entry point in the group `rsq_pipe.sources` or
            `rsq_pipe.sinks` that names such a module.

    Raises:
        LookupError: There is none of this type, or an installed one cannot be imported.
    """
    listed = LISTED[kind].get(type)
    module = import_module(f"{__package__}.{listed.module}") if listed else _installed(kind, type)
    options = getattr(module, "Options", None)
    if module is None or options is None:
        raise LookupError(f"there is no {kind} of type {type!r}")
    return Connector(
        *(kind, type, options),
        getattr(module, "connect", None),
        getattr(module, "sender", None),
        getattr(module, "endpoint", None),
        getattr(module, "check_function", None),
        getattr(module, "table_columns", None),
    )


@cache
def types(kind: Kind) -> tuple[str, ...]:
    """List the existing types, in alphabetical order; imports those that others installed."""
    installed = (point.name for point in entry_points(group=_group(kind)))
    return tuple(sorted({*LISTED[kind], *(name for name in installed if _is_connector(kind, name))}))


def _is_connector(kind: Kind, name: str) -> bool:
    """Return whether an installed connector can be used."""
    try:
        connector(kind, name)
    except LookupError:
        return False
    return True


def _group(kind: Kind) -> str:
    return f"rsq_pipe.{kind}s"


def _installed(kind: Kind, name: str) -> ModuleType | None:
    for point in entry_points(group=_group(kind), name=name):
        try:
            loaded: ModuleType = point.load()
        except Exception as exc:
            raise LookupError(f"{kind} type {name!r} is installed, but fails when imported: {exc}") from exc
        return loaded
    return None
