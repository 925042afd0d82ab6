"""Short form: a group of settings that may be written as its main setting alone."""

from __future__ import annotations

import re
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from rsq_pipe.spec.validation import describe


class ShortForm:
    """
    Accept a list or a text for a group: `Annotated[Group, ShortForm("keep", list, ...)]`.

    Args:
        key: The setting that gets it.
        kind: Its type in a file, or types.
        schema: Its JSON Schema.
        wanted: What is expected, and how to write it: `a list of fields, or a mapping; write [a, b]`.
    """

    def __init__(self, key: str, kind: type | tuple[type, ...], schema: dict[str, Any], wanted: str) -> None:
        self._key = key
        self._kind = kind
        self._schema = schema
        self._wanted, _, self._fix = wanted.partition("; ")

    def whole(self, value: object) -> Any:
        """Expand a short form; ValueError for any other value."""
        if isinstance(value, self._kind):
            return {self._key: value}
        if isinstance(value, dict):
            return value
        is_name = self._kind is list and isinstance(value, str) and re.fullmatch(r"[\w.]+", value)
        fix = f"write [{value}]" if is_name else self._fix
        raise ValueError(f"must be {self._wanted}, not {describe(value)}; {fix}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Expand the short form before the group is validated."""
        return core_schema.no_info_before_validator_function(self.whole, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe both forms."""
        return {"anyOf": [self._schema, handler(schema)]}
