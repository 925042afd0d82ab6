"""When a failed record is due again: a function of its policy and its attempts."""

from __future__ import annotations

import random

from rsq_pipe.spec.graph import RetryPolicy


def delay(policy: RetryPolicy, attempt: int, draw: random.Random) -> int:
    """
    Choose the pause before the next attempt.

    Args:
        policy: The stage's; the pause doubles from `first` up to `max`, give or take `jitter`.
        attempt: How many attempts have failed, from 1.
        draw: Where the jitter comes from, so that records that failed together do not come back together.

    Returns:
        Milliseconds.
    """
    pause = min(policy.max, policy.first * 2.0 ** min(attempt - 1, 60))
    return max(0, round(pause * (1 + draw.uniform(-policy.jitter, policy.jitter)) * 1000))
