"""The Python of the pipeline in this folder."""

from __future__ import annotations

from typing import Any


def greet(person: dict[str, Any]) -> dict[str, Any] | None:
    """Add a greeting; drop who has no name."""
    if not person["name"]:
        return None
    return {**person, "greeting": f"Hello, {person['name']}!"}
