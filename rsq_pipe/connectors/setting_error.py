"""SettingError: an error in one of several settings, found by a check of all of them together."""

from __future__ import annotations


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
