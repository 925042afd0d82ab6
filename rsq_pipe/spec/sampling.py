"""Sampling: which records are traced."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rsq_pipe.units import parse_rate

PATTERN = r"^(all|none|[0-9]+(\.[0-9]+)? ?%|[0-9]+(\.[0-9]+)? ?/ ?(s|m|h))$"


@dataclass(frozen=True, slots=True)
class Sampling:
    """
    Define which records are traced; this is decided once, where a record enters.

    Args:
        mode: By rate, by share, all or none.
        value: Traces a second for `rate`, 0 to 1 for `share`.
    """

    mode: Literal["rate", "share", "all", "none"]
    value: float


def parse_sampling(text: str) -> Sampling:
    """
    Parse `10/s`, `5%`, `all` or `none`.

    Raises:
        ValueError: It is none of these.
    """
    if text in ("all", "none"):
        return Sampling("all" if text == "all" else "none", 1.0 if text == "all" else 0.0)
    share = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text.strip())
    if share and float(share[1]) <= 100:
        return Sampling("share", float(share[1]) / 100)
    if "/" in text:
        return Sampling("rate", parse_rate(text))
    raise ValueError(f"{text!r} is not a sampling; write a rate (10/s), a share (5%), all or none")
