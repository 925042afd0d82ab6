"""Settings: the base of the settings of all connectors, and an error in one of several."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of a connector, or a group of them; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def names_in(value: object, what: str) -> Sequence[str]:
    """Take one name for a list; ValueError that the setting must name `what` if it is no list of names."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found or not all(isinstance(one, str) for one in found):
        raise ValueError(f"must name {what}")
    return found


class SettingError(ValueError):
    """
    Refuse a setting in a check of the mapping that holds it.

    Args:
        why: What is wrong; after a semicolon, what to do.
        place: The path of the setting in that mapping, so that the message can point to it in the file.
    """

    def __init__(self, why: str, *place: str) -> None:
        super().__init__(why)
        self.place = place
