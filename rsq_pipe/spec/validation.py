"""Validation: checks part of a document against a model, and reports mistakes in our own words."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from rsq_pipe.connectors.settings import SettingError
from rsq_pipe.connectors.table import LISTED
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.reading import retype
from rsq_pipe.suggestion import OTHER_TYPES, meant, one_of, suggest
from rsq_pipe.units import DURATION_PATTERN, SIZE_PATTERN, format_duration, format_size

Model = TypeVar("Model", bound=BaseModel)

_SCALARS = ("int_type", "float_type", "bool_type", "string_type")
_WANTED = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "dict": "a mapping",
    "model": "a mapping",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "none": "null",
    "path": "a path",
    "date": "a date",
    "url": "a URL",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
}
_BOUNDS |= {
    "less_than_equal": ("le", "at most"),
    "too_short": ("min_length", "at least"),
    "too_long": ("max_length", "at most"),
}


_CONNECTORS = {name for names in LISTED.values() for name in names}
"""Types of sources and sinks: in other tools, one in this place is a short form."""


def validate(
    document: Document,
    model: type[Model],
    value: object,
    path: Path_,
    *,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> Model | None:
    """
    Convert a value to a model, or report its mistakes.

    Args:
        path: Where the value is in the document.
        elsewhere: Keys that belong to other models, `retry.rate` where one is inside another -> what they
            belong to, and the fix if it is not to remove them.

    Returns:
        The model; None if anything was reported.
    """
    made, errors = _parse(model, value)
    retyped = [_retype(document, value, path, error) for error in errors]
    if any(retyped):
        made, errors = _parse(model, value)
    explainer = _Explainer(document, model, path, elsewhere)
    misspelt = {target for error in errors if (target := explainer.target(error))}
    for error in errors:
        if (error["type"] != "missing" or error["loc"] not in misspelt) and not _of_a_group(error, errors):
            explainer.report(error)
    return made


def _parse(model: type[Model], value: object) -> tuple[Model | None, list[ErrorDetails]]:
    """
    Parse leniently, except that text never becomes a number or a truth value, nor the reverse.

    As JSON, because only there does strict mode accept text as a path or a date. It still refuses the return
    values of a connector's own validators, so its other errors count only if lenient parsing agrees.
    """
    text = json.dumps(value)
    try:
        return model.model_validate_json(text, strict=True), []
    except ValidationError as exc:
        strict = [error for error in exc.errors(include_url=False) if error["type"] in _SCALARS]
    try:
        made = model.model_validate_json(text)
        return (None if strict else made), strict
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
        known = {error["loc"] for error in errors}
        return None, [*errors, *(error for error in strict if error["loc"] not in known)]


def _of_a_group(error: ErrorDetails, errors: Collection[ErrorDetails]) -> bool:
    """Return whether an error only refuses a mapping or list as a scalar, while another error says why."""
    place = error["loc"]
    return (error["type"] in _SCALARS and isinstance(error["input"], dict | list)) and any(
        one["loc"][: len(place) - 1] == place[:-1] and len(one["loc"]) > len(place) for one in errors
    )


def _retype(document: Document, value: object, path: Path_, error: ErrorDetails) -> bool:
    """Convert a variable's text as its place requires: a number in quotes, or text that looks like one."""
    text = document.replaced.get((*path, *error["loc"]))
    if error["type"] not in _SCALARS or text is None:
        return False
    *parents, last = error["loc"]
    holder: Any = value
    for part in parents:
        holder = holder[part]
    before = holder[last]
    holder[last] = text if error["type"] == "string_type" else retype(text)
    return type(before) is not type(holder[last])


class _Explainer:
    def __init__(
        self, document: Document, model: type[BaseModel], path: Path_, elsewhere: Mapping[str, str]
    ) -> None:
        self._document = document
        self._model = model
        self._path = path
        self._elsewhere = elsewhere

    def target(self, error: ErrorDetails) -> tuple[int | str, ...] | None:
        """Find the key that an unknown key was meant to be: its absence is then not a second mistake."""
        *parents, key = error["loc"] or ("",)
        if error["type"] != "extra_forbidden":
            return None
        match = meant(str(key).partition(":")[0], _fields(self._model, tuple(parents)))
        return (*parents, match) if match else None

    def report(self, error: ErrorDetails) -> None:
        """Add one of pydantic's errors to the document's problems."""
        kind, context = error["type"], error.get("ctx", {})
        path = self._document_path(error["loc"])
        if kind == "extra_forbidden":
            self._report_unknown(path, error["loc"], error["input"])
        elif kind == "missing":
            self._report_missing(path, error["loc"])
        elif kind.startswith("union_tag_"):
            self._report_tag(path, context)
        elif kind == "string_pattern_mismatch":
            self._report_form(path, error)
        elif kind in ("value_error", "assertion_error"):
            found = context["error"]
            if isinstance(found, SettingError):
                path = self._document_path((*error["loc"], *found.place))
            what, _, fix = str(found).partition("; ")
            self._document.report(path, what, fix)
        else:
            what, fix = _words(kind, context, error["input"])
            group = _fields(self._model, error["loc"]) if kind.startswith("model_") else {}
            if error["input"] is None and what.startswith("must be a mapping"):
                fix, group = "indent what belongs to it below it", {}
            elif path == ("stages",) and isinstance(error["input"], list):
                fix = "write each stage below its name, `read: {source: ...}`"
            elif path[-1:] == ("route",) and isinstance(error["input"], dict):
                fix = "write `- {to: PORT, when: EXPRESSION}` each time, `- {to: PORT, otherwise: true}` last"
            self._document.report(path, what, f"it holds {one_of(group)}" if group else fix)

    def _document_path(self, loc: tuple[int | str, ...]) -> Path_:
        """Remove path parts that are not in the file, such as pydantic's names for a union's members."""
        path = self._path
        for part in loc:
            if (*path, part) in self._document.values:
                path = (*path, part)
        return path

    def _report_unknown(self, path: Path_, loc: tuple[int | str, ...], value: object) -> None:
        key = str(loc[-1])
        keys = list(_fields(self._model, loc[:-1]))
        elsewhere = self._elsewhere.get(".".join(map(str, loc)))
        if elsewhere is not None:
            place, _, fix = elsewhere.partition("; ")
            self._document.report(path, f"key {key!r} belongs to {place}", fix or "remove it", key=True)
        elif key == "<<":
            self._document.report(
                path, "`<<` merges nothing in YAML 1.2", "use `defaults`, or repeat the keys", key=True
            )
        elif above := self._empty_above(path, key):
            self._document.report(path, f"unknown key {key!r}", f"indent it below `{above}`", key=True)
        elif value is None and (cut := self._cut_off(path, key)):
            fix = f"a comma ends a value within {{ }}: put the whole value of `{cut}` in quotes"
            self._document.report(path, f"unknown key {key!r}", fix, key=True)
        else:
            fix = _in_other_words(key, value, keys) or suggest(meant(key, keys) or key, keys)
            self._document.report(path, f"unknown key {key!r}", fix, key=True)

    def _empty_above(self, path: Path_, key: str) -> str:
        """Name the key above that is empty, as when what belongs to it is not indented; or return empty."""
        empty = [name for name, value in self._before(path, key).items() if value is None]
        return empty[-1] if empty else ""

    def _cut_off(self, path: Path_, key: str) -> str:
        """Name the key whose text a comma cut off, before this key in the same line; or return empty."""
        places = self._document.keys
        texts = [name for name, value in self._before(path, key).items() if isinstance(value, str)]
        cut = [name for name in texts if places[*path[:-1], name].line == places[path].line]
        return cut[-1] if cut else ""

    def _before(self, path: Path_, key: str) -> dict[str, Any]:
        """Return the known keys, with their values, that stand before another in its mapping."""
        holder: Any = self._document.value
        for part in path[:-1]:
            holder = holder[part]
        before = list(holder)[: list(holder).index(key)] if key in holder else []
        known = _fields(self._model, path[len(self._path) : -1])
        return {name: holder[name] for name in before if name in known}

    def _report_missing(self, path: Path_, loc: tuple[int | str, ...]) -> None:
        key = str(loc[-1])
        field = _fields(self._model, loc[:-1]).get(key)
        example = (getattr(field, "examples", None) or ["..."])[0]
        self._document.report((*path, key), f"{key!r} is missing", f"add `{key}: {example}`")

    def _report_tag(self, path: Path_, context: Mapping[str, str]) -> None:
        """Report a wrong or missing value of the key that selects the group of settings."""
        key = context["discriminator"].strip("'")
        inside = (*path, key)
        if "tag" not in context:
            self._document.report(path, f"{key!r} is missing", f"add `{key}: ...`")
            return
        names = [name.strip("'") for name in context["expected_tags"].split(", ")]
        place = inside if inside in self._document.values else path
        self._document.report(
            place, f"{context['tag']!r} is not allowed here", suggest(context["tag"], names)
        )

    def _report_form(self, path: Path_, error: ErrorDetails) -> None:
        field = _fields(self._model, error["loc"][:-1]).get(str(error["loc"][-1]))
        described, _, _ = (getattr(field, "description", None) or "").partition(". ")
        what = f"{error['input']!r} is not of the form that is taken here"
        form = error.get("ctx", {}).get("pattern", "")
        self._document.report(
            path, what, f"{described[:1].lower()}{described[1:]}".rstrip(".") or f"it matches {form}"
        )


_ATTEMPTS = ("attempts", "retries", "max_attempts", "max_retries")


def _in_other_words(key: str, value: object, keys: Collection[str]) -> str:
    """Return how to write a setting of other tools here."""
    if ":" in key and value is None and key.partition(":")[0] in keys:
        return f"write a blank after the colon, `{key.replace(':', ': ', 1)}`"
    if key == "upsert" and "mode" in keys and value is True:
        return "write `mode: upsert`"
    if key in _ATTEMPTS and "retry" in keys and type(value) is int:
        return f"write `retry: {{attempts: {value}}}`"
    if key == "schema" and "types" in keys and isinstance(value, dict):
        return "did you mean 'types'?"
    if key.startswith("partition") and {"path", "rotate"} <= {*keys}:
        return (
            "only the sink `objects` has `partition_by`, for S3 and the like; for files, `rotate` writes "
            "parts, and docs/guide/file-per-day.md splits these by a field"
        )
    if key == "compression" and "path" in keys:
        return "leave it out: a name that ends in .gz, .bz2 or .zst says it"
    return ""


def _fields(model: type[BaseModel], loc: tuple[int | str, ...]) -> dict[str, Any]:
    """Find the fields, as named in a file, of the model at a place inside another."""
    models, fields = [model], _named(model)
    for part in loc:
        if isinstance(part, int):
            continue
        if part in fields:
            inner = list(_models_in(fields[part].annotation))
        else:
            inner = [one for one in models if part in (one.__name__, *_tags(one))]
        if inner:
            models, fields = inner, _shared(inner)
    return fields


def _shared(models: list[type[BaseModel]]) -> dict[str, Any]:
    """Return the fields that all share; those of the first if they share none."""
    first, *others = map(_named, models)
    return {name: field for name, field in first.items() if all(name in one for one in others)} or first


def _named(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _tags(model: type[BaseModel]) -> tuple[object, ...]:
    """Return the values that a model's `type` may have, which distinguish it in a union."""
    field = model.model_fields.get("type")
    return get_args(field.annotation) if field is not None else ()


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for one in getattr(annotation, "__args__", ()):
            yield from _models_in(one)


def _words(kind: str, context: dict[str, Any], value: object) -> tuple[str, str]:
    if kind in ("literal_error", "enum"):
        choices = context["expected"].replace(" or ", ", ").split(", ")
        names = [{"True": "true", "False": "false"}.get(choice, choice.strip("'")) for choice in choices]
        shown = json.dumps(value) if isinstance(value, bool) else repr(value)
        if isinstance(value, str) and value in names:
            return f"must be {value}, not the text {value!r}", "take the quotes away"
        ours = OTHER_TYPES.get(str(value).lower(), "")
        return f"{shown} is not allowed here", suggest(ours if ours in names else str(value), names)
    if kind.removeprefix("string_") in _BOUNDS:
        bound, words = _BOUNDS[kind.removeprefix("string_")]
        if "length" not in bound:
            return f"must be {words} {_in_units(context[bound], value)}, not {describe(value)}", ""
        return f"must have {words} {context[bound]:,} {_units(value, context[bound])}", ""
    wanted = _WANTED.get(kind.partition("_")[0])
    if wanted:
        return f"must be {wanted}, not {describe(value)}", _unquote(value, wanted)
    return f"{describe(value)} is not allowed here", "see the reference page of the spec"


def _in_units(bound: float, value: object) -> str:
    """Format a bound like the given value: `1s` if that is `500ms`."""
    if bound and isinstance(value, str) and re.fullmatch(DURATION_PATTERN, value):
        return format_duration(bound)
    if bound and isinstance(value, str) and re.fullmatch(SIZE_PATTERN, value):
        return format_size(int(bound))
    return f"{bound:,}"


def _units(value: object, count: int) -> str:
    return f"{'character' if isinstance(value, str) else 'item'}{'' if count == 1 else 's'}"


def _unquote(value: object, wanted: str) -> str:
    if isinstance(value, str) and wanted in ("a whole number", "a number", "true or false"):
        return "remove the quotes" if not isinstance(retype(value), str) else ""
    if wanted == "text" and isinstance(value, bool | int | float):
        return f'write "{json.dumps(value)}" in quotes'
    if wanted == "a mapping" and isinstance(value, str) and value in _CONNECTORS:
        return f"write {{type: {value}, ...}}"
    if wanted == "a list" and isinstance(value, str) and re.fullmatch(r"[\w.]+(,\s*[\w.]+)*", value):
        return f"write [{value}]"
    return {"a list": "write [a, b]", "a mapping": "write {key: value}"}.get(wanted, "")


def describe(value: object) -> str:
    """Describe a value as a user sees it in the file."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"the text {value!r}" if isinstance(value, str) else f"the number {value}"
