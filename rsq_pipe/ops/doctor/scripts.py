"""Scripts: whether Lua runs here as settle.lua needs it."""

from __future__ import annotations

from collections.abc import Iterator

from rsq_pipe.ops.doctor.facts import refused
from rsq_pipe.ops.doctor.finding import Finding
from rsq_pipe.streams.client import StreamClient

# It has the flags of settle.lua, and asks the time: it writes nothing.
_HARMLESS = "#!lua flags=allow-oom\nreturn redis.call('TIME')\n"


async def judge_scripts(client: StreamClient, key: str) -> Iterator[Finding]:
    """
    Run a script that changes nothing.

    Redis: EVAL.
    """
    (ran,) = await client.channel.exchange([["EVAL", _HARMLESS, 1, key]], key=key)
    return iter(_told(refused(ran, client.channel.address)))


def _told(said: str) -> list[Finding]:
    if not said:
        holds = (
            "a batch is settled in one step: outputs, retries, dead letters and acknowledgements, or nothing"
        )
        return [Finding("scripts", "ok", "a script with flags was run", holds)]
    if "NOPERM" in said:  # the rights are a finding of their own
        return []
    return [
        Finding(
            *("scripts", "problem", f"a harmless script was refused: {said}"),
            "without scripts nothing can be settled: no stage runs",
            "use a server that runs Lua scripts" if "unknown command" in said else "",
        )
    ]
