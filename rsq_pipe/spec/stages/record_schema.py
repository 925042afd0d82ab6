"""Record schema: a JSON Schema file for the records of a `validate` stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsq_pipe.suggestion import suggest

if TYPE_CHECKING:
    from jsonschema_rs import Validator

MAX_BYTES = 2**20
BACKTRACKS = 100_000
"""Maximum steps back that a `pattern` may take in one text: a few milliseconds."""

THE_VALUE = "the value"
"""The text that replaces the value in the library's messages, as it may be large, or confidential."""

_SCATTERED = ("$ref", "$dynamicRef", "allOf", "patternProperties")


class SchemaError(ValueError):
    """A schema that cannot be used: what is wrong, and the fix."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}; {fix}")
        self.what = what
        self.fix = fix


def read_schema(root: Path, path: str, *, closed: bool) -> Any:
    """
    Read a schema file, and check that it can be used.

    Args:
        root: The folder to which the path is relative.
        closed: Whether it must name all fields of a record, so that others can be detected.

    Raises:
        SchemaError: It is missing, not JSON, or not a JSON Schema.
    """
    schema = _parsed(_text(root, path), path)
    try:
        compiled(schema, mask=None)
    except ValueError as exc:
        raise SchemaError(f"{path} is not a JSON Schema: {_message(exc)}", "correct it there") from exc
    if closed:
        _check_closed(schema, path)
    return schema


def compiled(schema: Any, *, mask: str | None = THE_VALUE) -> Validator:
    """
    Compile a schema; its messages show `mask` instead of values.

    Raises:
        ValueError: It is not one.
    """
    # Imported here: it costs 20 ms, and only schemas need it.
    from jsonschema_rs import FancyRegexOptions, validator_for  # noqa: PLC0415

    return validator_for(
        schema,
        mask=mask,
        validate_formats=True,
        pattern_options=FancyRegexOptions(backtrack_limit=BACKTRACKS),
        offline=True,
    )


def _text(root: Path, path: str) -> str:
    try:
        file = root / path
        if not file.exists():
            near_misses = [str(Path(path).with_name(one.name)) for one in file.parent.glob("*.json")]
            fix = suggest(path, near_misses, otherwise=f"paths start at {root.name}/")
            raise SchemaError(f"there is no file {path!r}", fix)
        if not file.is_file():
            raise SchemaError(f"{path!r} is not a file", "name the schema's file")
        if file.stat().st_size > MAX_BYTES:
            raise SchemaError(
                f"{path!r} is larger than {MAX_BYTES:,} bytes", "split the schema, or use a model"
            )
        return file.read_text("utf-8-sig")
    except OSError as exc:
        raise SchemaError(f"{path!r} cannot be read: {exc.strerror}", "check its permissions") from exc
    except UnicodeDecodeError as exc:
        raise SchemaError(f"{path!r} is not UTF-8: byte {exc.start}", "save it as UTF-8") from exc


def _parsed(text: str, path: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        raise SchemaError(f"{path} is not JSON: {exc.msg} at {where}", "correct it there") from exc
    except RecursionError as exc:
        raise SchemaError(f"{path} is nested too deep", "write it flatter") from exc


def _message(error: ValueError) -> str:
    """Return the place inside the schema, and the first line of the library's message."""
    inside = [str(part) for part in getattr(error, "instance_path", ())]
    message = str(getattr(error, "message", "") or error).partition("\n")[0]
    if "retrieving it failed" in message:
        message = f"{message.partition(' is not')[0]} is not in it; put what `$ref` names into the same file"
    return f"at {'.'.join(inside)}: {message}" if inside else message


def _check_closed(schema: Any, path: str) -> None:
    scattered = [key for key in _SCATTERED if isinstance(schema, dict) and key in schema]
    if not scattered and isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
        return
    why = f"it has `{scattered[0]}` there" if scattered else "it has none there"
    fix = "leave `extra` out, and say `additionalProperties` or `unevaluatedProperties` in the schema"
    raise SchemaError(f"`extra` needs all fields named under `properties` at the top of {path}: {why}", fix)
