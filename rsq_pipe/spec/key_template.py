"""Key template: a text with placeholders for the parts of a key, `customers:{id}`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from string import Formatter

from msgspec import Struct

from rsq_pipe.spec.record_key import RecordKey
from rsq_pipe.suggestion import suggest


class KeyTemplate(Struct, frozen=True):
    """
    Hold a template.

    Args:
        text: As written.
        parts: Its texts, and numbers for the parts of the key.
    """

    text: str
    parts: tuple[str | int, ...]

    def spell(self, key: str | Sequence[str], quoted: Callable[[str], str] = str) -> str:
        """Insert a key, each part converted by `quoted`."""
        values = (key,) if isinstance(key, str) else key
        return "".join(part if isinstance(part, str) else quoted(values[part]) for part in self.parts)


def parse_template(text: str, key: RecordKey) -> KeyTemplate:
    """
    Parse a template.

    Args:
        text: `{name}` is a part of the key, `{{` and `}}` are braces.
        key: A key of one part may have any name in the template; several parts use their fields' names.

    Raises:
        ValueError: It names no key, or a wrong one.
    """
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as exc:
        raise ValueError(f"{text!r} has a brace too many; write {{{{ or }}}} for one that stays") from exc
    names = [name for _, name, _, _ in pieces if name is not None]
    known = key.names if len(key.fields) > 1 else tuple(dict.fromkeys(names))
    if not names or not known:
        raise ValueError(f"{text!r} does not say where the key goes; write {{id}} there")
    if len(known) > 1 and len(key.fields) <= 1:
        raise ValueError(f"{text!r} names {' and '.join(known)}, and the key has one part; keep one")
    parts: list[str | int] = []
    for literal, name, form, conversion in pieces:
        if literal:
            parts.append(literal)
        if name is None:
            continue
        if form or conversion or not name:
            raise ValueError(f"{text!r} needs the key in its own format; write {{id}} and nothing else in it")
        if name not in known:
            raise ValueError(f"{text!r} names {name!r}, which is not part of the key; {suggest(name, known)}")
        parts.append(known.index(name))
    if len({part for part in parts if isinstance(part, int)}) < len(known):
        lacks = next(name for at, name in enumerate(known) if at not in parts)
        raise ValueError(f"{text!r} does not name {lacks!r}, a part of the key; add {{{lacks}}}")
    return KeyTemplate(text, tuple(parts))
