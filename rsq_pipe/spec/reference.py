"""Reference: the page that lists every setting of a pipeline file, made from the schema and the functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from inspect import getdoc, isbuiltin, isclass
from typing import Any

from rsq_pipe.connectors.table import LISTED, Kind, types
from rsq_pipe.model.aggregates import AGGREGATES
from rsq_pipe.spec.expressions.arguments import spelled
from rsq_pipe.spec.expressions.bounds import MAX_BITS, MAX_SIZE, MAX_WORK
from rsq_pipe.spec.expressions.functions import FUNCTIONS
from rsq_pipe.spec.models import OTHERS, StageSettings, Tuning
from rsq_pipe.spec.schema import pipeline_schema
from rsq_pipe.spec.stages.field_kinds import KINDS
from rsq_pipe.spec.stages.table import STAGES

_HEAD = """\
# The pipeline file

<!-- Generated: rsq-pipe schema --format markdown --output docs/reference/spec.md -->

A pipeline file is YAML 1.2: `no` and `on` are text, and a key may appear only once. `rsq-pipe validate FILE`
prints every mistake in it; `rsq-pipe schema` prints its JSON Schema, for editors.

Durations carry a unit (`200ms`, `30s`, `5m`, `1h`, `7d`); so do sizes (`64KiB`, `1MiB`) and rates
(`500/s`). Names of pipelines, stages and ports consist of lower-case letters, digits, `-` and `_`, and
begin with a letter.
"""
_VARIABLES = """\
## Variables

| written | stands for |
|---|---|
| `${NAME}` | the environment variable; it must be set |
| `${NAME:-default}` | the same, or the default if it is not set or empty |
| `${secret:NAME}` | the variable `NAME`, else the file named by `NAME_FILE`, else `/run/secrets/NAME` |
| `$${` | a plain `${` |

They are replaced once, in values only, after the YAML is read: a value can never become structure. A setting
converts its variable to its own type, such as a number, with or without quotes. Under `with:`, which takes
anything, a value written without quotes is a number or truth value if it looks like one. Secrets are never
printed.
"""
_INPUTS = """\
## What a stage reads

| `from:` | reads |
|---|---|
| left out | the stage above |
| `validate` | the output of a stage |
| `route.large` | one port of a stage |
| `validate.errors` | the dead letters of a stage |
| `{stream: NAME}` | one that others write, with the settings of [`stream`](#source-stream) |
| `[small, route.large]` | several of these |
"""
_EXPRESSIONS = f"""\
## Expressions

A checked subset of Python: arithmetic, comparison, `and` `or` `not`, `in`, `a if b else c`, subscripts and
slices, lists, dicts and sets, comprehensions, f-strings, and the functions below. No attributes, imports or
lambdas.

A name is a field of the record; a field that is not there is an error of that record. `record` is the whole
record: `'region' in record`, `get(record, 'region', '-')`, `record['unit price']`.

Where an expression decides (`filter`, `when`, `and`, `or`, `not`, `if`), truth is as in Python:
everything is true except `False`, `None`, 0, empty text, and an empty list or mapping. So the texts
`'false'`, `'no'` and `'0'` are true, and a csv column without a type holds text: compare it,
`paid == 'true'`, or give it a type. `rsq-pipe validate` warns of a condition that is the same for every
record: `country == 'Spain' or 'France'`.

Expressions have limits, whatever a record holds: a value has at most {MAX_SIZE:,} characters, where an
item of a list or mapping counts 16 plus its content; a whole number has at most {MAX_BITS:,} bits; and
the loops for one record go through and build at most {MAX_WORK:,} of these. Exceeding a limit is an
error of that record. Parts of the record that are passed on unchanged, alone or a few together, have no
limit of their own.

Regular expressions are written out in quotes, in the
[syntax of RE2](https://github.com/google/re2/wiki/Syntax): no lookaround, no backreferences, and a time
that is linear in the text. A text counts as its length, multiplied by more for a longer pattern.

| function | does |
|---|---|
"""
_PARTS = {
    "Case": "#### A case of a route",
    "Select": "#### `select` in full",
    "Explode": "#### `explode` in full",
    "Validation": "#### What `validate` holds",
    "Aggregate": "#### What `aggregate` holds",
    "Lookup": "#### What `lookup` holds",
    "Table": "#### `table` of a lookup",
    "FileTable": "#### `file` of a table",
    "RedisTable": "#### `redis` of a table",
    "PostgresTable": "#### `postgres` of a table",
    "HttpTable": "#### `http` of a table",
    "Cache": "#### `cache` of a lookup",
    "Dedupe": "#### `dedupe` in full",
    "Join": "#### `join` in full",
    "JoinNames": "#### `as` of a join",
    "Sql": "#### `sql` in full",
}
"""Groups of settings inside one verb -> the title of their section."""

_FIELDS = """\
#### What a field must be

`TYPE`, or `TYPE?` if the field may be missing or null, followed by constraints that are joined by `and`:
`float >= 0 and < 1000`, `str matches '[A-Z]{5}'`, `str? in [new, paid, 'sent back']`, `list length >= 1`.

| constraint | for | holds if |
|---|---|---|
| `<` `<=` `==` `>=` `>` and a value | numbers, dates | the comparison does; a time without zone is UTC |
| `in [a, b]` | numbers, dates, `str`, `bool` | the value is one of these |
| `matches PATTERN` | `str` | the pattern matches the whole text; no lookaround, no backreferences |
| `length` and a comparison with a number | `str`, `list`, `dict` | it has so many characters, items or keys |

Quote a value that contains spaces, commas, brackets or `<=>`, and a pattern that contains spaces.

| type | a record's value may be | and goes on as |
|---|---|---|
"""


_COMPUTED = """\
#### Functions over the records of a group

Each field of `compute` is one of these; its argument is an expression over a record. All skip null, as in
SQL, and give null if there are only nulls.

| function | gives |
|---|---|
"""


def reference_page() -> str:
    """Build the page as it is committed."""
    schema = pipeline_schema()
    definitions = schema["$defs"]
    groups = (
        "Redis",
        "Tuning",
        "Batch",
        "Retry",
        "Backoff",
        "Breaker",
        "OnError",
        "DeadLetters",
        "Reclaim",
        "Telemetry",
    )
    parts = [_HEAD, _section("## At the top", schema)]
    parts += [_section(f"### `{_spelled(name)}`", definitions[name]) for name in groups]
    parts.append("## Stages\n\nA stage has one of these verbs, and any key of `defaults`.\n")
    own = [name for name in StageSettings.model_fields if name not in Tuning.model_fields]
    held = {name: definitions["SinkStage"]["properties"][name] for name in own}
    of_every = "What every stage may hold besides, a source and a sink too."
    parts.append(
        _section("### `rate`, `burst`, `description`", {"description": of_every, "properties": held})
    )
    parts += [_stage(verb, definitions) for verb in STAGES]
    parts += [_section(title, definitions[model]) for model, title in _PARTS.items()]
    parts.append(_COMPUTED + _computed())
    parts.append(_FIELDS + _kinds())
    parts += [_INPUTS, "## Sources\n", *_connectors("source", definitions)]
    parts += ["## Sinks\n", *_connectors("sink", definitions)]
    parts += ["## Groups of settings\n\nOf sources and sinks.\n", *_groups_of_connectors(definitions)]
    parts += [_VARIABLES, _EXPRESSIONS + _functions()]
    return "\n".join(parts)


def _stage(verb: str, definitions: Mapping[str, Any]) -> str:
    schema = definitions[STAGES[verb].__name__]
    shared = {field.alias or name for name, field in StageSettings.model_fields.items()}
    own = {name: field for name, field in schema["properties"].items() if name not in shared}
    return _section(f"### `{verb}`", {**schema, "properties": own})


def _connectors(kind: Any, definitions: Mapping[str, Any]) -> Iterator[str]:
    for name in types(kind):
        schema = definitions[_model_of(kind, name)]
        fields = {key: field for key, field in schema["properties"].items() if key != "type"}
        yield _section(f"### {kind} `{name}`", {**schema, "properties": fields})


def _groups_of_connectors(definitions: Mapping[str, Any]) -> Iterator[str]:
    """Build one section for each group of settings that sources and sinks have."""
    all_of_them = [_model_of(kind, name) for kind in LISTED for name in types(kind)]
    for name in _groups_below(definitions, all_of_them):
        yield _section(f"### `{_spelled(name)}`", definitions[name])


def _groups_below(definitions: Mapping[str, Any], models: Sequence[str]) -> Iterator[str]:
    """List the groups of settings that some settings refer to, directly or indirectly, each once."""
    waiting, seen = list(models), {"Variable", *models}
    while waiting:
        for name in _refs(definitions[waiting.pop(0)]["properties"]):
            if name not in seen:
                seen.add(name)
                if "properties" in definitions[name]:
                    waiting.append(name)
                    yield name


def _model_of(kind: str, name: str) -> str:
    return f"{name.title().replace('_', '')}{kind.title()}"


_MADE = {
    _model_of(kind, name): f"a mapping, see [{kind}s](#{kind}s)" for kind in LISTED for name in types(kind)
}
"""The models of sources and sinks -> what a stage is said to hold."""


def _refs(schema: Any) -> Iterator[str]:
    """Name the groups that a schema refers to."""
    if isinstance(schema, list):
        for one in schema:
            yield from _refs(one)
    elif isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for one in schema.values():
            yield from _refs(one)


def _spelled(name: str) -> str:
    """Return a group's name in a file."""
    return _SPELLED.get(name, name.lower())


def setting_rows(kind: Kind, name: str) -> list[tuple[str, str, str, str]]:
    """Describe the settings of a connector as on the page: key, value, default and meaning."""
    return _rows(_definitions()[_model_of(kind, name)], but="type")


def setting_groups(kind: Kind, name: str) -> list[tuple[str, str, list[tuple[str, str, str, str]]]]:
    """Describe the groups of settings that a connector has: name, meaning and settings of each."""
    definitions = _definitions()
    return [
        (_spelled(one), definitions[one].get("description", "").replace("\n", " "), _rows(definitions[one]))
        for one in _groups_below(definitions, [_model_of(kind, name)])
    ]


@cache
def _definitions() -> Mapping[str, Any]:
    """Build the schema of everything once: a command asks four times, and it takes 0.15 s."""
    definitions: dict[str, Any] = pipeline_schema()["$defs"]
    return definitions


def _rows(schema: Mapping[str, Any], but: str = "") -> list[tuple[str, str, str, str]]:
    required = schema.get("required", ())
    fields = schema["properties"].items()
    return [_cells(key, field, required=key in required) for key, field in fields if key != but]


def _section(title: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [_row(name, field, required=name in required) for name, field in schema["properties"].items()]
    table = (
        ["| key | value | default | what it is |", "|---|---|---|---|", *rows] if rows else ["No settings."]
    )
    return "\n".join([title, "", schema.get("description", "").replace("\n", " "), "", *table, ""])


def _row(name: str, field: Mapping[str, Any], *, required: bool) -> str:
    key, kind, default, what = _cells(name, field, required=required)
    return f"| `{key}` | {kind} | {default} | {what} |"


def _cells(name: str, field: Mapping[str, Any], *, required: bool) -> tuple[str, str, str, str]:
    default = field.get("default")
    shown = "required" if required else f"`{json.dumps(default)}`" if default not in (None, "") else ""
    what = field.get("description", "").replace("|", "\\|").replace("\n", " ")
    return name, _kind(field), shown, what


def _kind(field: Mapping[str, Any]) -> str:
    """Name the type of a field's value."""
    any_of = [*field.get("anyOf", ()), *field.get("oneOf", ())]
    choices = [choice for choice in any_of if choice != {"$ref": "#/$defs/Variable"}]
    if choices:
        return " or ".join(dict.fromkeys(map(_kind, choices)))
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if name == OTHERS["title"]:
            return _KINDS["object"]
        return _MADE.get(name) or f"group `{_spelled(name)}`, see below"
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    kind = field.get("type", "object")
    if isinstance(kind, list):
        return "an expression"
    if kind == "string" and field.get("examples"):
        return f"text: `{field['examples'][0]}`"
    return _KINDS[str(kind)] + _bounds(field)


def _bounds(field: Mapping[str, Any]) -> str:
    """Format the lowest and highest number a field accepts, if it has limits."""
    least, most = field.get("minimum"), field.get("maximum")
    if field.get("type") == "integer" and "exclusiveMinimum" in field:
        least = field["exclusiveMinimum"] + 1
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    return f", {least:,} or more" if least is not None else ""


_SPELLED = {
    "Tuning": "defaults",
    "OnError": "on_error",
    "DeadLetters": "on_error.dlq",
    "Validation": "validate",
    "FileTable": "file",
    "RedisTable": "redis",
    "PostgresTable": "postgres",
    "HttpTable": "http",
    "JoinNames": "as",
    "RotateObjects": "rotate (of objects)",
    "JsonlFormat": "format (writing jsonl)",
    "CsvFormat": "format (writing csv)",
    "ParquetFormat": "format (writing parquet)",
    "ReadJsonl": "format (reading jsonl)",
    "ReadJson": "format (reading json)",
    "ReadCsv": "format (reading csv)",
    "ReadParquet": "format (reading parquet)",
}
"""Groups whose names in a file differ from their models' names."""

_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "object": "a mapping",
    "array": "a list",
    "null": "null",
}


def _kinds() -> str:
    return "\n".join(f"| `{kind.name}` | {kind.takes} | {kind.gives} |" for kind in KINDS.values()) + "\n"


def _computed() -> str:
    rows = [f"| `{one.takes.replace(', count', '`, `count')}` | {one.says} |" for one in AGGREGATES.values()]
    return "\n".join(rows) + "\n"


def _functions() -> str:
    ours = {
        name: function
        for name, function in FUNCTIONS.items()
        if not isbuiltin(function) and not isclass(function)
    }
    pythons = " ".join(f"`{name}`" for name in FUNCTIONS if name not in ours)
    rows = [
        f"| `{spelled(name)}` | {(getdoc(function) or '').partition(chr(10))[0]} |"
        for name, function in ours.items()
    ]
    return "\n".join([f"| {pythons} | as in Python |", *rows]) + "\n"
