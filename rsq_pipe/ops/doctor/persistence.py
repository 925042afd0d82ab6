"""Persistence: what survives a restart of the server."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.ops.doctor.facts import Facts, Finding

_AOF = "CONFIG SET appendonly yes, and in redis.conf: appendonly yes"


_TIGHT = 64 << 20
"""Bytes that are soon used up: a few minutes of a busy pipeline."""

_NONE = 1 << 20
"""Bytes that do not fit a batch."""


def judge_persistence(facts: Facts) -> Iterator[Finding]:
    """Judge the append-only file and the snapshots, and their disk."""
    yield from _room(facts)
    aof = facts.setting("appendonly")
    if not aof and "aof_enabled" in facts.info:
        aof = "yes" if facts.info["aof_enabled"] == "1" else "no"
    if not aof:
        yield Finding(
            *("persistence", "note", "the server does not say whether it keeps an append-only file"),
            "whether records survive its restart is not known; ask its operator",
        )
        return
    yield _append_only(facts) if aof == "yes" else _snapshots(facts)
    yield from _failing(facts)


def _room(facts: Facts) -> Iterator[Finding]:
    if facts.free is None or facts.free >= _TIGHT:
        return
    is_full, where = facts.free < _NONE, facts.settings.get("dir", "")
    yield Finding(
        *("disk", "problem" if is_full else "warning", f"{facts.free >> 10:,} KiB are left in {where}"),
        "a server that cannot write to its disk takes no writes (MISCONF): stages "
        f"{'wait' if is_full else 'will wait'}, and nothing is lost",
        "make room there; runs go on by themselves",
    )


def _append_only(facts: Facts) -> Finding:
    fsync = facts.setting("appendfsync")
    seen = f"appendonly yes, appendfsync {fsync or 'unknown'}"
    match fsync:
        case "always":
            return Finding(
                "persistence", "ok", seen, "what the server accepted survives its crash and a power cut"
            )
        case "everysec":
            return Finding(
                *("persistence", "ok", seen),
                "what the server accepted survives its crash; a power cut may take the last second. Each "
                "hop is one step, so after that every record is still in exactly one place, and the source "
                "resumes where the server remembers it",
            )
        case "":
            return Finding(
                *("persistence", "note", seen),
                "what the server accepted survives its crash; how much a power cut takes, it does not say",
            )
        case _:
            return Finding(
                *("persistence", "warning", seen),
                "what the server accepted survives its crash; how much a power cut takes is up to the system",
                "CONFIG SET appendfsync everysec, and in redis.conf: appendfsync everysec",
            )


def _snapshots(facts: Facts) -> Finding:
    save = facts.settings.get("save")
    if save:
        return Finding(
            *("persistence", "warning", f"appendonly no, snapshots only: save {save}"),
            "a crash takes everything since the last snapshot: minutes of records at every stage. Sources "
            "go back to the position of that snapshot, so files are read again from there, and sinks see "
            "repeated records",
            _AOF,
        )
    return Finding(
        *("persistence", "problem", "appendonly no" + (", no snapshots" if save == "" else "")),
        "a restart of the server empties the pipeline: records in flight, retries, dead letters and the "
        "positions of sources are lost",
        _AOF,
    )


def _failing(facts: Facts) -> Iterator[Finding]:
    for field, what in (
        ("aof_last_write_status", "append-only file"),
        ("rdb_last_bgsave_status", "snapshot"),
    ):
        if facts.info.get(field, "ok") != "ok":
            yield Finding(
                *("disk", "problem", f"the last write of the {what} failed ({field}: {facts.info[field]})"),
                "the server may refuse writes (MISCONF), and then stages wait; what it took since is not on "
                "disk",
                "see the server's log; make room on its disk",
            )
