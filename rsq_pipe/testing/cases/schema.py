"""Schema: the JSON Schema of test files, for editors."""

from __future__ import annotations

import json
from typing import Any

from rsq_pipe.spec.schema import DIALECT
from rsq_pipe.testing.cases.models import RECORDS, TestFile


def schema_text() -> str:
    """Build the schema as it is committed."""
    whole = {"$schema": DIALECT, **_without_titles(TestFile.model_json_schema(), top=True)}
    whole["$defs"]["Expect"]["additionalProperties"] = RECORDS
    whole["$defs"]["Test"]["not"] = {
        "anyOf": [{"required": ["stage", "from"]}, {"required": ["stage", "to"]}],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _without_titles(node: Any, *, top: bool = False) -> Any:
    """Leave out the titles that pydantic generates, and defaults of groups, which are at their fields."""
    if isinstance(node, list):
        return [_without_titles(one) for one in node]
    if not isinstance(node, dict):
        return node
    left_out = {"title"} if not top and isinstance(node.get("title"), str) else set()
    if isinstance(node.get("default"), dict | list):
        left_out.add("default")
    return {key: _without_titles(value) for key, value in node.items() if key not in left_out}
