"""A row of numbers as a line of blocks."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """
    Draw the last `width` numbers, each as a block as high as its share of the highest.

    Zero is a gap at the foot, so that a stage that does nothing looks different from one that does little.
    """
    shown = values[-width:]
    most = max(shown, default=0.0)
    blocks = (_block(value / most) if value > 0 else " " for value in shown)
    return "".join(blocks).rjust(width)


def _block(share: float) -> str:
    return _BLOCKS[min(len(_BLOCKS) - 1, int(share * len(_BLOCKS)))]
