"""Settings: how those of the whole pipeline differ between two texts of its file, as written there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from rsq_pipe.redaction import redact
from rsq_pipe.spec.reading import stored_values

_NO_SETTINGS = {"version", "pipeline", "description", "stages"}


class SettingChange(Struct, frozen=True):
    """
    Describe how a setting changed.

    Args:
        setting: Its path, `defaults.batch.size`.
        before, now: Its values as written in the file; None where it is not set.
    """

    setting: str
    before: str | None
    now: str | None

    def __str__(self) -> str:
        if self.now is None:
            return f"{self.setting} is not set any more, and was {self.before}"
        instead = ", and was not set" if self.before is None else f" instead of {self.before}"
        return f"{self.setting} is {self.now}{instead}"


def setting_changes(before: str, now: str) -> tuple[SettingChange, ...]:
    """
    Compare the settings of the whole pipeline: the keys beside its stages.

    Values are compared as they are written: variables and secrets are not replaced, and passwords are masked.

    Args:
        before, now: Texts of the file; nothing is known to have changed if one is empty or not readable.
    """
    if before == now:
        return ()
    old, new = stored_values(before), stored_values(now)
    if not isinstance(old, dict) or not isinstance(new, dict):
        return ()
    was, has = dict(_flat(old)), dict(_flat(new))
    names = [*has, *(name for name in was if name not in has)]
    return tuple(
        SettingChange(name, was.get(name), has.get(name)) for name in names if was.get(name) != has.get(name)
    )


def _flat(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if not path and key in _NO_SETTINGS:
            continue
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", redact(value if isinstance(value, str) else json.dumps(value))
