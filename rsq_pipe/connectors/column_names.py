"""Column names: a setting that holds one name or a list of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator


def _as_list(value: object) -> object:
    """Take one name for a list; text with a comma is a list without brackets, and a mistake."""
    return [value] if isinstance(value, str) and value and "," not in value else value


ColumnNames = Annotated[tuple[str, ...], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
