"""Field check: finds reads of fields that no record can have; and the fields known after each stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rsq_pipe.connectors.csv.dialect import spelled
from rsq_pipe.connectors.csv.inference import EVERY, hidden_text
from rsq_pipe.spec.csv_header import columns, text_of_table
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.expressions.field_path import parse_path
from rsq_pipe.spec.expressions.field_reads import FieldRead, field_reads
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from rsq_pipe.spec.join_check import report_keys
from rsq_pipe.spec.known_fields import Known, queried, sent_on, together
from rsq_pipe.spec.stages.computation import counts_condition
from rsq_pipe.spec.stages.lookup import FileRef
from rsq_pipe.spec.stages.record_check import FieldsCheck
from rsq_pipe.spec.stages.sql import QueryFields, query_path
from rsq_pipe.spec.stages.table_file import format_of
from rsq_pipe.spec.text_check import TextUse, text_in_function, text_uses
from rsq_pipe.spec.written import place_in
from rsq_pipe.streams.unique_keys import shown
from rsq_pipe.suggestion import near, suggest


def report_unknown_fields(
    document: Document, graph: Graph, queries: Mapping[str, QueryFields]
) -> Mapping[str, Known]:
    """
    Report reads of fields that no record has: an error if each record fails, else a warning.

    Args:
        queries: Stage -> what its query reads and makes, for stages that have one.

    Returns:
        Sink -> what is known about the records that it writes, if anything is.
    """
    known: dict[StreamRef, Known | None] = {}
    written: dict[str, Known] = {}
    for stage in graph.stages:
        here: Known | None = None
        if stage.verb == "source":
            behind = _header(document, graph, stage)
        else:
            here = together([known.get(ref) for ref in stage.inputs])
            known[stage.dlq] = here
            if here is not None and stage.verb == "sink":
                written[stage.name] = here
            if here is not None and stage.verb in _CHECKS:
                _CHECKS[stage.verb](_Reader(document, stage, here))
            if stage.verb == "aggregate":
                _report_conditions(document, stage)
            if stage.verb == "join":
                report_keys(document, stage, [known.get(ref) for ref in stage.inputs])
            query = queries.get(stage.name)
            if query is not None and here is not None:
                _sql(_Reader(document, stage, here), query)
            behind = queried(query.layout, stage, here) if query else sent_on(stage, here)
            if stage.verb == "lookup" and behind is not None:
                behind = _with_table(stage, behind, graph.root)
        for port, ref in stage.outputs.items():
            # Others may write to a published stream.
            known[ref] = None if ref.external else here if stage.verb == "aggregate" and port else behind
    return written


def _report_conditions(document: Document, stage: Stage) -> None:
    """Warn of a condition that is counted where it is false, too."""
    for name, computation in stage.options.compute:
        if counts_condition(computation):
            argument = computation.argument.text.strip()
            what = f"{computation.text} counts records for which the condition is false, too"
            path = (*_at(stage), "compute", name)
            document.report(path, what, f"write sum({argument})", severity="warning")


def _header(document: Document, graph: Graph, stage: Stage) -> Known | None:
    if stage.options.type != "csv":
        return None
    options = stage.options.options
    header = columns(options, graph.root)
    if header is None:
        return None
    found, place = header.known, _at(stage)
    if found is None:
        document.report((*place, "path"), header.problem, severity="warning")
        return None
    if header.likely:
        what = f"{found.origin} names one column, {shown(found.fields[0])}"
        fix = f'if {header.likely!r} parts its fields, set `delimiter: "{spelled(header.likely)}"`'
        document.report((*place, "path"), what, fix, severity="warning")
    if header.hidden:
        what, fix = hidden_text(header.hidden)
        where = found.origin.removeprefix("the header of ")
        document.report((*place, "types"), f"{what}, in the first rows of {where}", fix, severity="warning")
    for option in ("types", "formats"):
        for name in getattr(options, option):
            if name != EVERY and not found.has(name):
                what = f"column {name!r} is not in {found.origin}"
                fix, severity = suggest(name, found.fields), _severity(found)
                document.report((*place, option, name), what, fix, key=True, severity=severity)
    return found


def _with_table(stage: Stage, known: Known, root: Path) -> Known:
    """Note which fields that a lookup in a csv file adds hold text."""
    lookup = stage.options
    if not isinstance(lookup.table, FileRef) or format_of(lookup.table) != "csv":
        return known
    table = lookup.table
    text = text_of_table(root / table.path, table.types, table.na, table.delimiter)
    added = {field: column for column, field in lookup.fields.items() if column in text}
    tables = {field: (table.path, column) for field, column in added.items()}
    found = known.holding({field: text[column] for field, column in added.items()})
    return replace(found, tables={**known.tables, **tables})


def _at(stage: Stage) -> Path_:
    return ("stages", stage.name, stage.verb)


def _severity(known: Known, *, sure: bool = True) -> Any:
    return "error" if sure and known.firm else "warning"


class _Reader:
    """Report reads of one stage, whose records are known."""

    def __init__(self, document: Document, stage: Stage, known: Known) -> None:
        self.document = document
        self.stage = stage
        self.known = known
        self.path = _at(stage)
        self.raw: Any = document.value["stages"][stage.name].get(stage.verb)

    def expression(self, path: Path_, of: Expression | None, *, sure: bool = True, within: str = "") -> None:
        """Report the fields that an expression (part of `within`) reads but no record has."""
        reported: set[str] = set()
        for read in field_reads(of.text) if of is not None else ():
            if self.known.has(read.name) or self.known.has(read.path) or read.name in reported:
                continue
            reported.add(read.name)
            place = self.document.inside(path, within or (of.text if of else ""), read.at)
            severity = _severity(self.known, sure=sure and read.sure)
            what, fix = self.what(read.name), self._fix(read)
            self.document.report(path, what, fix, at=place, severity=severity, part=read.name)
        if of is not None:
            self.text(path, text_uses(of.text, self.known.text), within or of.text)

    def text(self, path: Path_, uses: Iterable[TextUse], within: str) -> None:
        """Warn of text that is used like a number."""
        for use in uses:
            like = self.known.text[use.name]
            what = f"{use.name!r} is text here, by {self.known.says_text(use.name)}, {use.why}"
            number = f"write {'int' if like == 'int' else 'float'}({use.name})"
            fix = f"{self.known.typing(use.name)}, or {number}" if like else number
            place = self.document.inside(path, within, use.at)
            self.document.report(path, what, fix, at=place, severity="warning", part=use.name)

    def field(self, path: Path_, text: str, *, sure: bool, key: bool = False) -> None:
        """Report a field, or a path, that no record has."""
        name = parse_path(text)[0]
        if not self.known.has(name):
            severity = _severity(self.known, sure=sure)
            fix = suggest(name, self.known.fields)
            self.document.report(path, self.what(name), fix, key=key, severity=severity)

    def what(self, name: str) -> str:
        """Make the text that no record has a field."""
        return f"no record has a field {name!r} here, by {self.known.origin}"

    def _fix(self, read: FieldRead) -> str:
        quoted = f"write {read.name!r}, in quotes, for text"
        if read.compared and near(read.name, self.known.fields) is None:
            return quoted
        return suggest(read.name, self.known.fields)


def _map(at: _Reader) -> None:
    for name, value in at.stage.options.items():
        at.expression((*at.path, name), value)


def _filter(at: _Reader) -> None:
    at.expression(at.path, at.stage.options)


def _route(at: _Reader) -> None:
    for place, case in enumerate(at.stage.options):
        at.expression((*at.path, place, "when"), case.when, sure=place == 0)


def _select(at: _Reader) -> None:
    settings = {"keep": at.raw} if isinstance(at.raw, list) else at.raw
    within = at.path if isinstance(at.raw, list) else (*at.path, "keep")
    sure = not at.stage.options.ignore
    for place, name in enumerate(settings.get("keep", ())):
        at.field((*within, place), name, sure=sure)
    for place, name in enumerate(settings.get("drop", ())):
        at.field((*at.path, "drop", place), name, sure=sure)
    for name in settings.get("rename", ()) if not settings.get("keep") else ():
        at.field((*at.path, "rename", name), name, sure=sure, key=True)


def _explode(at: _Reader) -> None:
    settings = {"field": at.raw} if isinstance(at.raw, str) else at.raw
    at.field(at.path if isinstance(at.raw, str) else (*at.path, "field"), settings["field"], sure=True)
    for place, name in enumerate(settings.get("keep") or ()):
        at.field((*at.path, "keep", place), name, sure=False)  # not evaluated for a record without items


def _validate(at: _Reader) -> None:
    if isinstance(at.stage.options, FieldsCheck):
        for name, rule in at.stage.options.rules.items():
            path = (*at.path, "fields", name)
            if not at.known.has(name):
                fix, severity = suggest(name, at.known.fields), _severity(at.known, sure=not rule.optional)
                at.document.report(path, at.what(name), fix, key=True, severity=severity)


def _lookup(at: _Reader) -> None:
    _key(at, (*at.path, "key"), at.raw["key"])


def _dedupe(at: _Reader) -> None:
    if isinstance(at.raw, dict):
        _key(at, (*at.path, "key"), at.raw["key"])
    else:
        _key(at, at.path, at.raw)


def _key(at: _Reader, path: Path_, written: Any) -> None:
    expression = at.stage.options.key.expression
    if expression is not None:
        at.expression(path, expression)
    elif isinstance(written, list):
        for place, name in enumerate(written):
            at.field((*path, place), name, sure=True)
    else:
        at.field(path, written, sure=True)


def _aggregate(at: _Reader) -> None:
    of, single = at.stage.options, isinstance(at.raw.get("by"), str)
    places = {name: n for n, name in enumerate(at.raw["by"])} if isinstance(at.raw.get("by"), list) else {}
    for name, expression in of.by:
        at.expression((*at.path, "by") if single else (*at.path, "by", places.get(name, name)), expression)
    at.expression((*at.path, "on"), of.on)
    for name, computation in of.compute:
        at.expression((*at.path, "compute", name), computation.argument, within=computation.text)
        if computation.argument is not None:
            uses = text_in_function(computation.function, computation.argument.text, at.known.text)
            at.text((*at.path, "compute", name), uses, computation.text)


def _sink(at: _Reader) -> None:
    options = at.stage.options.options
    fills = getattr(options, "missing", "empty") != "error"  # what is missing is null
    written = _written_fields(at, options)
    for path, name in written.items():
        if not at.known.has(name) and not (name == "rid" and options.rid):
            severity = _severity(at.known, sure=not fills)
            fix, key = suggest(name, at.known.fields), at.stage.options.type == "parquet"
            at.document.report(path, at.what(name), fix, key=key, severity=severity)
    place = "fields" if at.stage.options.type == "csv" else "columns"
    left = sorted(at.known.always - {*written.values(), "rid"})
    if left and getattr(options, place, None) and options.extra == "error":
        what = f"each record has a field {left[0]!r} that is not a column, by {at.known.origin}"
        fix = f"add it to `{place}`, or say `extra: ignore`"
        at.document.report((*at.path, place), what, fix, severity=_severity(at.known))
    for number, name in enumerate(getattr(options, "partition_by", ())):
        where = (number,) if isinstance(at.raw["partition_by"], list) else ()
        at.field((*at.path, "partition_by", *where), name, sure=True)


def _written_fields(at: _Reader, options: Any) -> dict[Path_, str]:
    """Return the fields that a sink is told to write, by their places."""
    columns = getattr(options, "columns", None) or {}
    if at.stage.options.type == "csv":
        return {(*at.path, "fields", place): name for place, name in enumerate(options.fields or ())}
    if at.stage.options.type == "parquet":
        return {(*at.path, "columns", name): name for name in columns}
    if not hasattr(options, "columns_of"):  # it writes no table
        return {}
    if columns:
        return {(*at.path, "columns", column): name for column, name in columns.items()}
    return {(*at.path, "key", place): name for place, name in enumerate(options.key)}


def _sql(at: _Reader, query: QueryFields) -> None:
    """A field that is missing is null to SQL: no record fails, and nothing else would tell of it."""
    path = query_path(at.document, at.path)
    for name, start in query.reads.items():
        if not at.known.has(name):
            place = None if start is None else place_in(at.document, path, at.stage.options.query, start)
            what = f"{at.what(name)}: it is null in each"
            fix = suggest(name, at.known.fields)
            at.document.report(path, what, fix, at=place, severity="warning", part=name)


_CHECKS: Mapping[str, Callable[[_Reader], None]] = {
    "map": _map,
    "filter": _filter,
    "route": _route,
    "select": _select,
    "explode": _explode,
    "validate": _validate,
    "lookup": _lookup,
    "aggregate": _aggregate,
    "dedupe": _dedupe,
    "sink": _sink,
}


def fields_behind(graph: Graph) -> Mapping[str, Known | None]:
    """
    Return for each stage what is known about its output records; None if nothing is.

    Known from CSV headers (if the files exist), `validate`, `select` and the stages between them.
    """
    known: dict[StreamRef, Known | None] = {}
    found: dict[str, Known | None] = {}
    for stage in graph.stages:
        here = together([known.get(ref) for ref in stage.inputs])
        if stage.verb == "source":
            header = columns(stage.options.options, graph.root) if stage.options.type == "csv" else None
            behind = header.known if header else None
        elif stage.verb == "sink":
            behind = here
        else:
            behind = sent_on(stage, here)
        found[stage.name] = behind
        known[stage.dlq] = here
        for port, ref in stage.outputs.items():
            known[ref] = None if ref.external else here if stage.verb == "aggregate" and port else behind
    return found
