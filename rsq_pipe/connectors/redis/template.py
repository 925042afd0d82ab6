"""Template: the template of a record's key, such as `order:{id}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter
from typing import Any

from msgspec import Struct

from rsq_pipe.errors import EncodeError

_TAG = re.compile(r"\{([^}]+)\}")


class Template(Struct, frozen=True):
    """
    Hold a template.

    Args:
        parts: Its texts, and the paths of its fields.
    """

    parts: tuple[str | tuple[str, ...], ...]

    @property
    def is_fixed(self) -> bool:
        """Whether it is one key for all records."""
        return all(isinstance(part, str) for part in self.parts)

    @property
    def tag(self) -> str:
        """The part that decides the slot of its keys in a cluster; empty if it differs between records."""
        found = _TAG.search("".join(part for part in self.parts if isinstance(part, str)))
        if found:
            return found[1]
        return "".join(map(str, self.parts)) if self.is_fixed else ""

    def key(self, record: Any) -> str:
        """
        Return the key for a record.

        Raises:
            EncodeError: The field is missing, or is neither text nor a whole number.
        """
        return "".join(part if isinstance(part, str) else _text(record, part) for part in self.parts)


def parse_template(text: str) -> Template:
    """Parse a template; ValueError if it is malformed. `{{` and `}}` are literal braces."""
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as exc:
        raise ValueError(f"{text!r} has a brace too many; write {{{{ or }}}} for one that stays") from exc
    parts: list[str | tuple[str, ...]] = []
    for literal, name, form, conversion in pieces:
        if literal:
            parts.append(literal)
        if name is None:
            continue
        if not name or form or conversion:
            raise ValueError(f"{text!r} names no field; write {{id}}, or {{customer.id}} for one inside")
        parts.append(tuple(name.split(".")))
    return Template(tuple(parts))


def _text(record: Any, path: tuple[str, ...]) -> str:
    value = record
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        return str(value)
    shown = ".".join(path)
    what = "has no value" if value is None else "is neither text nor a whole number"
    raise EncodeError(f"its field {shown!r}, a part of `key`, {what}", record)
