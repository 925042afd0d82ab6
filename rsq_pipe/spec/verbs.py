"""Verbs: turns a stage's settings in a file into its verb and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from msgspec import Struct

from rsq_pipe.connectors.table import LISTED, connector
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.condition import suspicion
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.fields import check_name
from rsq_pipe.spec.graph import ConnectorRef, HandlerRef, RouteCase, VerbName
from rsq_pipe.spec.handlers import parse_handler
from rsq_pipe.spec.models import NO_OUTPUT, StageSettings
from rsq_pipe.spec.rate_limit import check_burst
from rsq_pipe.spec.share import Share
from rsq_pipe.spec.stages.aggregate import LATE, Aggregation, read_aggregate
from rsq_pipe.spec.stages.dedupe import Deduplication, read_dedupe
from rsq_pipe.spec.stages.explode import Explosion, read_explode
from rsq_pipe.spec.stages.join import SIDES, Joining, read_join
from rsq_pipe.spec.stages.lookup import Lookup, read_lookup
from rsq_pipe.spec.stages.read_connector import read_connector
from rsq_pipe.spec.stages.read_expression import read_expression
from rsq_pipe.spec.stages.record_check import RecordCheck, draft_check
from rsq_pipe.spec.stages.sample import read_sample
from rsq_pipe.spec.stages.select import Selection, read_select
from rsq_pipe.spec.stages.sql import SqlQuery, read_sql
from rsq_pipe.spec.stages.table import STAGES
from rsq_pipe.spec.stages.validate_stage import Validation
from rsq_pipe.spec.validation import describe, validate
from rsq_pipe.suggestion import OTHER_VERBS, near, one_of

ERRORS = "errors"  # the port of a stage's dead letters
OPTIONAL: dict[VerbName, tuple[str, ...]] = {"join": SIDES, "aggregate": (LATE,)}
"""Ports that exist only if a stage reads them; otherwise their records are dropped, and counted."""
RESERVED = {
    "meta": "the pipeline's own key",
    **dict.fromkeys(("dlq", "retry", "again"), "a part of every stage"),
}

_ERRORS_TAKEN = "the port 'errors' holds a stage's dead letters"
_ANOTHER_WAY = (
    "choose another name: a record becomes a dead letter where `validate` refuses it or a `call` rejects it"
)
_CASE = ("to", "when", "otherwise")

Options = (
    ConnectorRef
    | HandlerRef
    | Expression
    | dict[str, Expression | None]
    | tuple[RouteCase, ...]
    | Selection
    | Explosion
    | Share
    | RecordCheck
    | Lookup
    | Deduplication
    | Joining
    | Aggregation
    | SqlQuery
)


class ParsedStage(Struct, frozen=True):
    """
    Hold one stage before it is connected to others.

    Args:
        name: The stage's name.
        verb: The kind of stage; None if that is unclear, with its mistakes reported.
        settings: Its validated settings; None if they are wrong.
        options: The future value of Stage.options; None if it is invalid.
        ports: The names of its outputs: "" is the plain output.
    """

    name: str
    verb: VerbName | None
    settings: StageSettings | None
    options: Options | None
    ports: tuple[str, ...]

    @property
    def path(self) -> Path_:
        """The stage's path in the file."""
        return ("stages", self.name)


def parse_stage(document: Document, name: str, value: object) -> ParsedStage:
    """Read one stage, reporting every mistake in it."""
    path = ("stages", name)
    if _is_not_indented(document, name, path):
        return ParsedStage(name, None, None, None, ())
    _check_stage_name(document, name, path)
    verb = _pick_verb(document, value, path)
    if verb is None or not isinstance(value, dict):
        return ParsedStage(name, None, None, None, ())
    settings = validate(document, STAGES[verb], value, path, elsewhere=_owners() | _inside(verb, value[verb]))
    check_burst(document, value, path)
    options = _options(document, verb, value.get(verb), (*path, verb))
    return ParsedStage(name, verb, settings, options, _ports(document, (*path, "ports"), verb, value))


def _is_not_indented(document: Document, name: str, path: Path_) -> bool:
    """Report a stage whose verb stands beside it, like a stage; return whether a stage is one of the two."""
    stages = list(document.value["stages"].items())
    at = [one for one, _ in stages].index(name)
    below, above = stages[at + 1 : at + 2], stages[:at][-1:]
    if stages[at][1] is None and below and below[0][0] in STAGES:
        document.report(path, f"stage {name!r} is empty", f"indent `{below[0][0]}` below it", key=True)
        return True
    return name in STAGES and bool(above) and above[0][1] is None


def _keys(model: type[StageSettings]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _owners() -> dict[str, str]:
    """Return for each key which stages may have it."""
    verbs: dict[str, list[str]] = {}
    for verb, model in STAGES.items():
        for key in _keys(model):
            verbs.setdefault(key, []).append(verb)
    return {key: f"{one_of(names)} stages" for key, names in verbs.items()}


def _inside(verb: VerbName, value: object) -> dict[str, str]:
    """Return for each setting where it belongs, if it is written next to the connector or to `fields`."""
    if verb == "validate" and isinstance(value, dict):
        return _rules_outside(value)
    name = value.get("type") if isinstance(value, dict) else value
    if verb not in {"source", "sink"} or not isinstance(name, str) or name not in LISTED[verb]:
        return {}
    fields = getattr(connector(verb, name).options, "model_fields", {})
    keys = {field.alias or key for key, field in fields.items()} - set(_keys(STAGES[verb]))
    return {key: f"the {verb}; write `{verb}: {{type: {name}, {key}: ...}}`" for key in keys}


def _rules_outside(value: dict[str, Any]) -> dict[str, str]:
    """Return where the rules of fields belong that are written into `validate` itself."""
    keys = [field.alias or name for name, field in Validation.model_fields.items()]
    if any(key in value for key in ("fields", "schema", "model")):
        return {}
    rules = [key for key, rule in value.items() if isinstance(rule, str) and not near(key, keys)]
    return {f"validate.{key}": f"`fields`; write `validate: {{fields: {{{key}: ...}}}}`" for key in rules}


def _check_stage_name(document: Document, name: str, path: Path_) -> None:
    if name in RESERVED:
        document.report(
            path, f"the name {name!r} is reserved for {RESERVED[name]}", "choose another", key=True
        )
        return
    try:
        check_name(name)
    except ValueError as exc:
        document.report_error(path, exc, key=True)


def _pick_verb(document: Document, value: object, path: Path_) -> VerbName | None:
    if not isinstance(value, dict):
        document.report(
            path, f"a stage must be a mapping, not {describe(value)}", f"give it {one_of(STAGES)}"
        )
        return None
    verbs = [key for key in value if key in STAGES]
    if len(verbs) == 1:
        return cast(VerbName, verbs[0])
    if verbs:
        what = f"stage {path[-1]!r} has {len(verbs)} verbs, {' and '.join(verbs)}"
        document.report((*path, verbs[1]), what, "keep one", key=True)
        for verb in verbs:
            _options(document, cast(VerbName, verb), value[verb], (*path, verb))
        return None
    # The misspelt name is the only mistake; the missing verb is its consequence.
    misspelt = {key: OTHER_VERBS.get(key.lower()) or near(key, STAGES) for key in value}
    known = {alias for model in STAGES.values() for alias in _keys(model)}
    for key, verb in misspelt.items():
        if verb and key not in known:
            document.report((*path, key), f"unknown key {key!r}", f"did you mean {verb!r}?", key=True)
            return None
    if _is_of_other_form(document, value, path):
        return None
    kinds = [kind for kind in LISTED if str(value.get("type")) in LISTED[kind]]
    if kinds:
        fix = one_of(f"`{kind}: {{type: {value['type']}, ...}}`" for kind in kinds)
        document.report((*path, "type"), f"stage {path[-1]!r} has no verb", f"write {fix}", key=True)
        return None
    document.report(path, f"stage {path[-1]!r} has no verb", f"give it {one_of(STAGES)}", key=True)
    return None


def _is_of_other_form(document: Document, value: Mapping[str, Any], path: Path_) -> bool:
    """Report a key that holds a verb in another form; return whether there is one."""
    for key in value:
        verb, colon, _ = key.partition(":")
        joined = f"write a blank after the colon, `{verb}: ...`" if colon and verb in STAGES else ""
        if fix := joined or (f"write `select: {{{key}: ...}}`" if key in _OF_SELECT else ""):
            document.report((*path, key), f"unknown key {key!r}", fix, key=True)
            return True
    return False


_OF_SELECT = ("rename", "drop")
"""Verbs of other tools that are settings of `select` here."""


def _options(document: Document, verb: VerbName, value: Any, path: Path_) -> Options | None:
    if verb in {"source", "sink"}:
        return read_connector(document, verb, value, path)
    return _READERS[verb](document, value, path)


def _handler(document: Document, value: Any, path: Path_) -> HandlerRef | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_handler(value)
    except ValueError as exc:
        document.report_error(path, exc)
        return None


def _expressions(document: Document, value: Any, path: Path_) -> dict[str, Expression | None] | None:
    if not isinstance(value, dict):
        return None
    if not value:
        document.report(path, "the map has no fields", "write `field: expression`")
    document.report_unnamed(value, path)
    compiled: dict[str, Expression | None] = {}
    for name, text in value.items():
        inside = (*path, name)
        compiled[name] = (
            None
            if text is None and not document.failed(inside)
            else read_expression(document, text, inside, headed=True)
        )
    return compiled


def _condition(document: Document, value: Any, path: Path_) -> Expression | None:
    expression = read_expression(document, value, path, headed=True)
    if expression is not None:
        what, fix = suspicion(expression)
        if what:
            document.report(path, what, fix, severity="warning")
    return expression


def _cases(document: Document, value: Any, path: Path_) -> tuple[RouteCase, ...] | None:
    if not isinstance(value, list) or not all(isinstance(case, dict) for case in value):
        return None
    cases: list[RouteCase] = []
    for index, case in enumerate(value):
        inside = (*path, index)
        misspelt = any(near(str(key), ("when", "otherwise")) for key in case if key not in _CASE)
        if ("when" in case) == ("otherwise" in case) and not misspelt:
            document.report(inside, "a case has either `when` or `otherwise`", "write `when: expression`")
        elif "otherwise" in case and index < len(value) - 1:
            document.report(
                inside, "`otherwise` takes every record; the cases below are never reached", "put it last"
            )
        when = _condition(document, case["when"], (*inside, "when")) if "when" in case else None
        if case.get("to") == ERRORS:
            document.report((*inside, "to"), _ERRORS_TAKEN, _ANOTHER_WAY)
        cases.append(RouteCase(str(case.get("to")), when))
    if value and not any("otherwise" in case for case in value):
        document.report(
            path, "the route has no `otherwise`", "end it with `- {to: PORT, otherwise: true}`", key=True
        )
    return tuple(cases)


_READERS: dict[VerbName, Callable[[Document, Any, Path_], Options | None]] = {
    "call": _handler,
    "map": _expressions,
    "filter": _condition,
    "route": _cases,
    "select": read_select,
    "explode": read_explode,
    "sample": lambda _document, value, _path: read_sample(value),
    "validate": draft_check,
    "lookup": read_lookup,
    "dedupe": read_dedupe,
    "join": read_join,
    "aggregate": read_aggregate,
    "sql": read_sql,
}


def _ports(document: Document, path: Path_, verb: VerbName, value: dict[str, Any]) -> tuple[str, ...]:
    """List a stage's outputs even if the rest of it is invalid: other stages may still read them."""
    match verb:
        case "sink":
            return ()
        case "route":
            cases = value["route"] if isinstance(value["route"], list) else []
            names = [case.get("to") for case in cases if isinstance(case, dict)]
            return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))
        case "aggregate":
            settings = value["aggregate"] if isinstance(value["aggregate"], dict) else {}
            return ("", LATE) if settings.get("every") or settings.get("gap") else ("",)
        case "call":
            return _ports_of_call(document, path, value)
    return ("", *OPTIONAL.get(verb, ()))


def _ports_of_call(document: Document, path: Path_, value: dict[str, Any]) -> tuple[str, ...]:
    ports = value.get("ports", [])
    named = [port for port in ports if isinstance(port, str)] if isinstance(ports, list) else []
    for index, port in enumerate(named):
        if port == ERRORS:
            document.report((*path, index), _ERRORS_TAKEN, "choose another name")
        elif port in named[:index]:
            document.report((*path, index), f"port {port!r} appears twice", "remove one")
    one_output = () if value.get("to") == NO_OUTPUT else ("",)
    return (*one_output, *dict.fromkeys(named))
