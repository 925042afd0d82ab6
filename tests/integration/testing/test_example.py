"""The example's own tests pass, run as its README says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.signals import TO_END

ROOT = Path(__file__).parents[3]


@pytest.mark.docs
def test_the_tests_of_the_orders_pass() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "examples/orders"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TO_END, check=False)

    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
