"""Read a source or sink: which connector it is, and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rsq_pipe.connectors.table import LISTED, Kind, connector, types
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.graph import ConnectorRef
from rsq_pipe.spec.stages.read_expression import read_expression
from rsq_pipe.spec.validation import describe, validate
from rsq_pipe.suggestion import near, one_of, suggest

_ELSEWHERE = {
    **dict.fromkeys(("redis", "redis_stream", "redis_streams", "valkey"), "stream"),
    **dict.fromkeys(("s3", "gcs", "gs", "azure", "az", "bucket"), "objects"),
    **dict.fromkeys(("ndjson", "json_lines", "jsonlines"), "jsonl"),
    **dict.fromkeys(("pg", "psql"), "postgres"),
    **dict.fromkeys(("rest", "api", "https", "http_client", "http_request"), "http"),
    **dict.fromkeys(("http_server", "http_listener", "http_in", "web_server"), "webhook"),
    **dict.fromkeys(("console", "print", "log"), "stdout"),
    **dict.fromkeys(("command", "shell", "subprocess"), "exec"),
    "mariadb": "mysql",
    "cron": "schedule",
    **dict.fromkeys(("cdc", "debezium", "logical_replication"), "postgres_cdc"),
    "redpanda": "kafka",
    "tsv": "csv",
}
"""Name of a connector in other tools -> its name here."""

_FIXES = {
    **dict.fromkeys(("file", "files", "local"), "name the format of the file: `type: csv`, say"),
    "stdin": 'write `path: "-"` and the format: `type: jsonl`, say',
    **dict.fromkeys(
        ("sql", "sql_insert", "sql_select", "sql_raw", "jdbc", "database", "db"),
        "name the database: `type: postgres`, say",
    ),
    **dict.fromkeys(
        ("rabbitmq", "amqp", "nats", "sqs", "pubsub", "kinesis"),
        "use `type: python` with a client of your own",
    ),
    "tsv": 'write `type: csv` and `delimiter: "\\t"`',
    **dict.fromkeys(
        ("xlsx", "xls", "excel"), "save the sheet as csv, or read it in Python by `type: python`"
    ),
    **dict.fromkeys(
        ("snowflake", "bigquery", "mongodb", "mssql", "oracle", "redshift", "clickhouse", "elasticsearch"),
        "use `type: dlt`, or `type: python` with a client of your own",
    ),
}
"""Name of what there is no connector for -> what to use."""

_BESIDE = ("batch", "workers", "timeout", "rate", "burst", "retry", "breaker", "on_error", "from", "to")
"""Settings of stages that users expect among those of a source or sink."""


def read_connector(document: Document, kind: Kind, value: Any, path: Path_) -> ConnectorRef | None:
    """Read a source or sink, reporting every mistake in it; None if there are any."""
    if not isinstance(value, dict):
        return None
    name = value.get("type")
    if not isinstance(name, str):
        _report_type(document, kind, value, path)
        return None
    try:
        found = connector(kind, name)
    except LookupError as exc:
        document.report((*path, "type"), *_unknown(kind, name, str(exc)))
        return None
    listed = LISTED[kind].get(name)
    if listed is not None and listed.missing and not document.operate:
        what = f"the {kind} {name!r} needs a package that is not installed"
        document.report((*path, "type"), what, listed.missing)
    settings = {key: item for key, item in value.items() if key != "type"}
    of_stage = dict.fromkeys(_BESIDE, f"the stage; write it next to `{kind}`, not inside it")
    options = validate(document, found.options, settings, path, elsewhere=of_stage)
    if options is None:
        return None
    return ConnectorRef(kind, name, _with_expressions(document, options, path))


def _unknown(kind: Kind, name: str, what: str) -> tuple[str, str]:
    """Return what is wrong with an unknown type, and the fix."""
    meant = _ELSEWHERE.get(name, name)
    other: Kind = "sink" if kind == "source" else "source"
    if name in _FIXES:
        return what, _FIXES[name]
    if meant in types(kind) or meant not in types(other):
        return what, suggest(meant if meant in types(kind) else name, types(kind))
    fix = "read it by `type: python` or `type: dlt`" if kind == "source" else f"use {one_of(types(kind))}"
    return f"there is a {other} of type {meant!r}, but no {kind}", fix


def _report_type(document: Document, kind: Kind, value: dict[str, Any], path: Path_) -> None:
    """Report that `type` is missing, misspelt or not text."""
    misspelt = next((key for key in value if near(key, ["type"])), "type")
    if misspelt != "type":
        document.report((*path, misspelt), f"unknown key {misspelt!r}", "did you mean 'type'?")
        return
    joined = next((key for key in value if key.startswith("type:")), "")
    if joined:
        fix = f"write a blank after the colon, `type: {joined.removeprefix('type:')}`"
        document.report((*path, joined), f"unknown key {joined!r}", fix, key=True)
        return
    name = value.get("type")
    what = "'type' is missing" if name is None else f"must be text, not {describe(name)}"
    document.report((*path, "type"), what, f"use {one_of(types(kind))}")


def _with_expressions(document: Document, options: Any, path: Path_) -> Any:
    """Compile the settings of a connector that are expressions."""
    compiled: dict[str, Any] = {}
    for name in getattr(options, "expressions", ()):
        match getattr(options, name):
            case None:
                continue
            case dict() as texts:
                found = {key: _fixed(document, text, (*path, name, key)) for key, text in texts.items()}
                compiled[name] = {key: one for key, one in found.items() if one is not None}
                if names := getattr(options, "names", ()):
                    _check_names(document, found, names, (*path, name))
            case text:
                compiled[name] = _fixed(document, text, (*path, name))
    return options.model_copy(update=compiled) if compiled else options


def _check_names(
    document: Document, found: dict[str, Expression | None], names: Sequence[str], path: Path_
) -> None:
    """Report a field without a name, and reads of neither a known name nor a field above."""
    known = list(names)
    document.report_unnamed(found, path)
    for key, expression in found.items():
        for unknown in sorted(expression.names - set(known) if expression is not None else ()):
            what = f"there is nothing here called {unknown!r}"
            document.report((*path, key), what, suggest(unknown, known))
        known.append(key)


def _fixed(document: Document, text: Any, path: Path_) -> Expression | None:
    expression = read_expression(document, text, path)
    if expression is not None and expression.timed:
        document.report(path, "now() is another in each attempt", "use a field of the record")
    return expression
