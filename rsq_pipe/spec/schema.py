"""Schema: the JSON Schema of pipeline files, generated from the models and the connectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel

from rsq_pipe.connectors.table import Kind, connector, types
from rsq_pipe.spec.fields import MAX_NAME, NAME_PATTERN
from rsq_pipe.spec.models import OTHERS, Pipeline
from rsq_pipe.spec.stages.table import STAGES
from rsq_pipe.spec.verbs import RESERVED
from rsq_pipe.units import DURATION_PATTERN, SIZE_PATTERN, format_duration, format_size

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE = {
    "type": "string",
    "pattern": r"\$\{[^}]*\}",
    "description": "`${NAME}`, `${NAME:-default}` or `${secret:NAME}`.",
}
_REF = "#/$defs/{model}"
_SPELLINGS: dict[str, Callable[[Any], str]] = {
    DURATION_PATTERN: format_duration,
    SIZE_PATTERN: format_size,
}


def schema_text() -> str:
    """Build the schema as it is committed."""
    return json.dumps(pipeline_schema(), indent=2, ensure_ascii=False) + "\n"


def pipeline_schema() -> dict[str, Any]:
    """Build the schema of a pipeline file; the connectors installed here are part of it."""
    definitions: dict[str, Any] = {}
    pipeline = _model(Pipeline, definitions)
    stages = [_stage(verb, definitions) for verb in STAGES]
    pipeline["properties"]["stages"] |= {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {
            "pattern": NAME_PATTERN,
            "maxLength": MAX_NAME,
            "not": {"enum": list(RESERVED)},
        },
        "additionalProperties": {
            "type": "object",
            "anyOf": [{"required": [verb]} for verb in STAGES],
            # Not `oneOf`: while no alternative fits yet, editors offer only a few of them, and report
            # mistakes of some other verb.
            "allOf": [
                {"if": {"required": [verb]}, "then": stage}
                for verb, stage in zip(STAGES, stages, strict=True)
            ],
        },
    }
    definitions[OTHERS["title"]] = _model(connector("source", "stream").options, definitions)
    whole = _polish({**pipeline, "$defs": dict(sorted(definitions.items()))})
    whole["$defs"]["Variable"] = _VARIABLE
    _name_choices(whole)
    return {"$schema": DIALECT, **whole}


def _name_choices(whole: dict[str, Any]) -> None:
    """
    Add to the alternatives what distinguishes them: the verbs, and the types of connectors.

    It changes nothing that is allowed or refused. While no alternative fits yet, editors offer only a few of
    them.
    """
    definitions = whole["$defs"]
    stages = whole["properties"]["stages"]["additionalProperties"]
    stages["properties"] = {
        verb: {"description": definitions[STAGES[verb].__name__].get("description", "")} for verb in STAGES
    } | {"from": {"description": definitions["MapStage"]["properties"]["from"].get("description", "")}}
    for kind in ("source", "sink"):
        connectors = definitions[STAGES[kind].__name__]["properties"][kind]
        names = list(types(kind))
        connectors["properties"] = {"type": {"description": f"Which {kind} it is.", "enum": names}}


def _stage(verb: str, definitions: dict[str, Any]) -> dict[str, str]:
    schema = _model(STAGES[verb], definitions)
    if verb in ("source", "sink"):
        kind = cast(Kind, verb)
        schema["properties"][verb]["oneOf"] = [_connector(kind, name, definitions) for name in types(kind)]
        schema["properties"][verb].pop("additionalProperties", None)
    schema["required"] = [verb]
    name = STAGES[verb].__name__
    definitions[name] = schema
    return {"$ref": _REF.format(model=name)}


def _connector(kind: Kind, name: str, definitions: dict[str, Any]) -> dict[str, str]:
    """Describe one connector's settings; `type` distinguishes it from the others."""
    schema = _model(connector(kind, name).options, definitions)
    schema["properties"] = {"type": {"const": name}, **schema.get("properties", {})}
    schema["required"] = ["type", *schema.get("required", [])]
    title = f"{name.title().replace('_', '')}{kind.title()}"
    definitions[title] = {**schema, "title": title}
    return {"$ref": _REF.format(model=title)}


def _model(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=_REF)
    definitions.update(schema.pop("$defs", {}))
    return schema


def _polish(node: Any) -> Any:
    """Allow a variable in place of a number or choice, write defaults with units, drop generated titles."""
    if isinstance(node, list):
        return [_polish(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node == OTHERS:
        return {"$ref": _REF.format(model=OTHERS["title"])}
    return {key: _polish_key(key, value) for key, value in node.items()}


def _polish_key(key: str, value: Any) -> Any:
    match key:
        case "properties":
            return {name: _field(schema) for name, schema in value.items()}
        case "items" | "additionalProperties":
            return _field(value)
        case "propertyNames" | "default" | "examples" | "enum":
            return value
        case _:
            return _polish(value)


def _field(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    field: dict[str, Any] = _polish(schema)
    field.pop("title", None)
    if isinstance(field.get("default"), dict | list):
        del field["default"]  # a group's defaults are at its own fields
    spell = _SPELLINGS.get(field.get("pattern", ""))
    if spell and isinstance(field.get("default"), int | float):
        field["default"] = spell(field["default"])
    if any(map(_is_narrow, _alternatives(field))):
        field["anyOf"].append({"$ref": _REF.format(model="Variable")})
    if not _is_narrow(field):
        return field
    kept = {key: field.pop(key) for key in ("description", "default") if key in field}
    return {"anyOf": [field, {"$ref": _REF.format(model="Variable")}], **kept}


def _alternatives(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a field may be, also what an alternative of it may be."""
    for choice in schema.get("anyOf", ()):
        yield choice
        yield from _alternatives(choice)


def _is_narrow(schema: dict[str, Any]) -> bool:
    """Return whether a schema would refuse the text of a variable, whose value may be valid."""
    if "const" in schema:
        return False
    return schema.get("type") in ("integer", "number", "boolean") or "enum" in schema or "pattern" in schema
