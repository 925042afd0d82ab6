"""Record check: the requirements of a `validate` stage, read from the pipeline file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.errors import HandlerNotFoundError
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.graph import HandlerRef
from rsq_pipe.spec.handlers import check_model, parse_handler
from rsq_pipe.spec.root import handler_root
from rsq_pipe.spec.stages.field_rule import FieldRule, RuleError, parse_rule
from rsq_pipe.spec.stages.record_schema import SchemaError, read_schema
from rsq_pipe.spec.validation import describe

Extra = Literal["keep", "drop", "reject"]


class FieldsCheck(Struct, frozen=True):
    """Check fields by rules; `extra` says what becomes of fields without one."""

    rules: Mapping[str, FieldRule]
    extra: Extra = "keep"

    @property
    def text(self) -> str:
        """What it checks, for a diagram."""
        return ", ".join(self.rules)


@dataclasses.dataclass(frozen=True, slots=True)
class SchemaCheck:
    """
    Check records by a JSON Schema.

    Args:
        path: The file, as given by the user.
        schema: Its content, read once, together with the pipeline file.
    """

    path: str
    schema: Any = dataclasses.field(default=None, repr=False)
    extra: Extra = "keep"

    @property
    def text(self) -> str:
        """What it checks by, for a diagram."""
        return self.path


class ModelCheck(Struct, frozen=True):
    """Check records by a user's class."""

    model: HandlerRef
    extra: Extra = "keep"

    @property
    def text(self) -> str:
        """What it checks by, for a diagram."""
        return self.model.text


RecordCheck: TypeAlias = FieldsCheck | SchemaCheck | ModelCheck


def draft_check(document: Document, value: Any, path: Path_) -> RecordCheck | None:
    """Read the settings of `validate`; files and classes are checked later, by `completed`."""
    if not isinstance(value, dict):
        return None
    extra: Any = value.get("extra", "keep")
    fields, schema, model = (value.get(key) for key in ("fields", "schema", "model"))
    if isinstance(fields, dict):
        return FieldsCheck(_rules(document, fields, (*path, "fields")), extra)
    if isinstance(schema, str):
        return SchemaCheck(schema, extra=extra)
    if isinstance(model, str):
        try:
            return ModelCheck(parse_handler(model), extra)
        except ValueError:
            what = f"{model!r} is not a class"
            document.report((*path, "model"), what, "write module:Class, such as shop.models:Order")
    return None


def completed(document: Document, check: RecordCheck, path: Path_, *, spec: Path, root: Path) -> RecordCheck:
    """
    Read the schema, or import the model, reporting mistakes.

    Args:
        path: The path of `validate` in the document.
        spec: The pipeline file; a model's module may be in its folder.
        root: The project root.
    """
    if isinstance(check, SchemaCheck):
        try:
            return dataclasses.replace(
                check, schema=read_schema(root, check.path, closed=check.extra != "keep")
            )
        except SchemaError as exc:
            if document.operate:
                return check
            document.report((*path, "schema"), exc.what, exc.fix)
    if isinstance(check, ModelCheck):
        model = check.model
        home = handler_root(model.module, spec, root)
        model = model if home == root else replace(model, root=home)
        if document.operate:
            return replace(check, model=model)
        try:
            printed = check_model(model, home)
        except HandlerNotFoundError as exc:
            document.report((*path, "model"), f"the model cannot be used: {exc.what}", exc.fix)
            return check
        if printed:
            what = f"module {model.module!r} prints when it is imported: {printed.strip()[:40]!r}"
            document.report((*path, "model"), what, "remove that", severity="warning")
        return replace(check, model=model)
    return check


def _rules(document: Document, fields: Mapping[str, Any], path: Path_) -> dict[str, FieldRule]:
    rules: dict[str, FieldRule] = {}
    if not fields:
        document.report(path, "no field is named", "write `field: type`")
    for name, text in fields.items():
        inside = (*path, name)
        if not isinstance(text, str):
            if not document.failed(inside):
                what = f"the rule of a field must be text, not {describe(text)}"
                document.report(inside, what, _rule_fix(text))
            continue
        try:
            rules[name] = parse_rule(text)
        except RuleError as exc:
            document.report(inside, exc.what, exc.fix, at=document.inside(inside, text, exc.at))
    return rules


def _rule_fix(value: Any) -> str:
    """Suggest a rule in place of what is not text."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return f"write `str in [{', '.join(value)}]`"
    return "write `int` or `float >= 0`, say"
