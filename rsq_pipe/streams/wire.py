"""The wire form of a settlement: settle.lua's keys and arguments, and its reply."""

from __future__ import annotations

from typing import Any

from rsq_pipe.streams.link import Command
from rsq_pipe.streams.script import INGEST, SETTLE, Script
from rsq_pipe.streams.settlement import MAX_ENTRIES, Part, Settled, Settlement


def script(settlement: Settlement) -> Script:
    """Choose the script: what removes entries may write to a full server, what only adds may not."""
    return SETTLE if any(part.entries for part in settlement.parts) else INGEST


def pack(settlement: Settlement, group: str, consumer: str) -> Command:
    """
    Spell the EVALSHA command for a settlement.

    Raises:
        ValueError: An entry stands in two parts, or there are more than MAX_ENTRIES.
    """
    keys: dict[str, int] = {}
    targets: dict[int, str] = {}
    bounds: dict[str, list[tuple[int, int]]] = {}
    body: list[str | bytes | int] = []
    add = body.append
    extend = body.extend

    def place(key: str) -> int:
        found = keys.get(key)
        if found is None:
            found = keys[key] = len(keys) + 1
        return found

    def target(key: str, kind: str) -> int:
        found = keys.get(key)
        if found is None or found not in targets:
            found = place(key)
            targets[found] = kind
        return found

    for part in settlement.parts:
        add(len(part.entries))
        for stream, entry_id, deliveries in part.entries:
            ms, _, seq = entry_id.partition("-")
            found = bounds.get(stream)
            if found is None:
                found = bounds[stream] = []
            found.append((int(ms), int(seq)))
            extend((place(stream), entry_id, deliveries))
        extend((part.dropped, part.delivered, len(part.outputs) + len(part.retries) + len(part.dead)))
        for stream, fields in part.outputs:
            extend(("o", target(stream, "stream"), len(fields)))
            extend(fields)
        for retry in part.retries:
            extend(("r", target(retry.key, "zset"), retry.delay, retry.member))
        for stream, fields in part.dead:
            extend(("d", target(stream, "stream"), len(fields)))
            extend(fields)

    _check(bounds)
    counters, position = settlement.counters, settlement.position
    head: list[str | bytes | int] = [group, consumer]
    head += [target(counters.key, "hash"), counters.prefix] if counters else [0, ""]
    if position:
        head += [target(position.key, "hash"), position.field, position.expected, position.new]
    else:
        head += [0, "", "", ""]
    head.append(len(targets))
    for index, kind in targets.items():
        head += (index, kind)
    head.append(len(bounds))
    for stream, ids in bounds.items():
        low, high = min(ids), max(ids)
        head += (keys[stream], f"{low[0]}-{low[1]}", f"{high[0]}-{high[1]}", len(ids))
    return script(settlement).command(list(keys), head + body)


def unpack(reply: Any, settlement: Settlement) -> Settled:
    """Read settle.lua's reply."""
    if reply[0] == 0:
        stored = reply[1].decode()
        # The reply to an earlier sending was lost: all of it was written then, in one step.
        if settlement.position is not None and stored == settlement.position.new:
            return Settled(settlement.parts)
        return Settled((), settlement.parts, refused=stored)
    if len(reply) == 1:
        return Settled(settlement.parts)
    lost = set(reply[1:])
    if settlement.position is not None:
        return Settled((), settlement.parts)
    committed: list[Part] = []
    fenced: list[Part] = []
    for index, part in enumerate(settlement.parts):
        (fenced if index in lost else committed).append(part)
    return Settled(committed, fenced)


def _check(bounds: dict[str, list[tuple[int, int]]]) -> None:
    total = sum(len(ids) for ids in bounds.values())
    if total > MAX_ENTRIES:
        raise ValueError(f"a settlement of {total} entries; the bound is {MAX_ENTRIES}")
    for stream, ids in bounds.items():
        if len(set(ids)) != len(ids):
            raise ValueError(f"a settlement names an entry of {stream!r} twice; an entry stands in one part")
