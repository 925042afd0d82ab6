"""What a test does if a program that it needs is not installed."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def absent(program: str, how: str) -> NoReturn:
    """Skip the test; in CI, where everything is installed, fail it. Say how to install the program."""
    why = f"there is no {program} ({how})"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
