"""
Ledger names: under which name a sink that was renamed is known outside, in the ledger beside its table.

That ledger cannot be renamed in the step that renames all on the server, and what a killed or paused writer
has committed stands in it alone. So it keeps the name of the stage that began it, and the pipeline's hash
says which sink has it now. Whoever is called like that stage later gets a ledger of another name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.streams.client import StreamClient

_OWN = "_R"
"""Stands in no name of a stage; what is named so may name topics and folders too."""


def ledger_field(stage: str) -> str:
    """Name the field of the pipeline's hash that says what a stage's ledger is called."""
    return f"ledger:{stage}:name"


def ledger_stage(field: str) -> str:
    """Tell whose field it is; empty where it is none."""
    kind, _, rest = field.partition(":")
    name, _, what = rest.partition(":")
    return name if kind == "ledger" and what == "name" else ""


async def ledger_names(client: StreamClient, pipeline: str) -> dict[str, str]:
    """
    Read what ledgers are called, of those stages that have no ledger of their own name.

    Redis: HKEYS, then HMGET of those fields.
    """
    meta = Keyspace(pipeline).meta
    fields = [field.decode() for field in await client.channel.execute("HKEYS", meta, key=meta)]
    found = {stage: field for field in fields if (stage := ledger_stage(field))}
    if not found:
        return {}
    values = await client.channel.execute("HMGET", meta, *found.values(), key=meta)
    return {stage: value.decode() for stage, value in zip(found, values, strict=True) if value}


def after_rename(names: Mapping[str, str], old: str, new: str) -> dict[str, str]:
    """Tell what the ledgers of a sink's new name, and of who has its old one later, are called."""
    kept = names.get(old, old)
    return {new: kept, old: _another(old, {*names.values(), kept})}


def _another(stage: str, taken: Collection[str]) -> str:
    number = 1
    while f"{stage}{_OWN}{number}" in taken:
        number += 1
    return f"{stage}{_OWN}{number}"
