"""Distinct: how many different values there are, exact up to a bound and estimated beyond (HyperLogLog)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from hashlib import blake2b

EXACT = 512
"""How many different values are counted exactly."""

BITS = 12
REGISTERS = 1 << BITS
ERROR = 1.04 / math.sqrt(REGISTERS)
"""The standard error of an estimate, as a share of it."""

HASH = 8
"""Bytes of a value's hash."""

# A count is [0, the hashes joined] or [1, a byte for each register]. The registers are a function of
# the hashes, and there are registers if and only if there were more than EXACT hashes, so the order in
# which counts are merged does not matter.
_LISTED, _ESTIMATED = 0, 1


def hashed(value: bytes) -> bytes:
    """Hash a value that is in canonical form."""
    return blake2b(value, digest_size=HASH).digest()


def distinct(values: Iterable[bytes]) -> list[int | bytes]:
    """Count different values, each in canonical form."""
    return _counted({hashed(value) for value in values})


def merged_distinct(one: Sequence[int | bytes], other: Sequence[int | bytes]) -> list[int | bytes]:
    """Combine two counts into one; merge.lua does the same."""
    if one[0] == other[0] == _LISTED:
        return _counted({*_hashes(one[1]), *_hashes(other[1])})
    pairs = zip(_registers(one), _registers(other), strict=True)
    return [_ESTIMATED, bytes(max(pair) for pair in pairs)]


def how_many(count: Sequence[int | bytes]) -> int:
    """Return how many different values there are."""
    form, content = count
    assert isinstance(content, bytes)
    return len(content) // HASH if form == _LISTED else round(_estimate(content))


def _counted(hashes: set[bytes]) -> list[int | bytes]:
    if len(hashes) <= EXACT:
        return [_LISTED, b"".join(sorted(hashes))]
    return [_ESTIMATED, bytes(_filled(hashes))]


def _hashes(content: int | bytes) -> list[bytes]:
    assert isinstance(content, bytes)
    return [content[at : at + HASH] for at in range(0, len(content), HASH)]


def _registers(count: Sequence[int | bytes]) -> bytes | bytearray:
    form, content = count
    assert isinstance(content, bytes)
    return content if form == _ESTIMATED else _filled(_hashes(content))


def _filled(hashes: Iterable[bytes]) -> bytearray:
    registers = bytearray(REGISTERS)
    for one in hashes:
        number = int.from_bytes(one)
        at, rest = number >> (64 - BITS), number & ((1 << (64 - BITS)) - 1)
        registers[at] = max(registers[at], 64 - BITS - rest.bit_length() + 1)
    return registers


def _estimate(registers: bytes) -> float:
    """Estimate by Ertl's estimator ("New cardinality estimation algorithms", 2017): no bias, no tables."""
    most = 64 - BITS
    counts = [registers.count(rank) for rank in range(most + 2)]
    found = REGISTERS * _tau(1 - counts[most + 1] / REGISTERS)
    for rank in range(most, 0, -1):
        found = 0.5 * (found + counts[rank])
    found += REGISTERS * _sigma(counts[0] / REGISTERS)
    return REGISTERS * REGISTERS / (2 * math.log(2)) / found


def _sigma(x: float) -> float:
    y, total, before = 1.0, x, -1.0
    while total != before:
        x *= x
        before = total
        total += x * y
        y += y
    return total


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, total, before = 1.0, 1 - x, -1.0
    while total != before:
        x = math.sqrt(x)
        before = total
        y *= 0.5
        total -= (1 - x) ** 2 * y
    return total / 3
