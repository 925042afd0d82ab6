"""Settings: the base of the settings of all connectors, and an error in one of several."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings of a connector, or a group of them; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
