"""A stage run in a process of its own, by records that may kill it."""

from __future__ import annotations

import asyncio
import signal

from tests.integration.engine.lab import Lab
from tests.support.command_line import start
from tests.support.signals import wait_until


async def idle(lab: Lab, stage: str) -> bool:
    """Tell whether a stage has nothing left to do."""
    return (await lab.state()).stages[stage].idle


async def killed(lab: Lab) -> bool:
    """Run the stage `work` in a process until that is killed, or has nothing left to do."""
    process = start("run", lab.path, "--redis", lab.url, "--stage", "work", cwd=lab.root)

    async def ended() -> bool:
        return process.poll() is not None or await idle(lab, "work")

    try:
        await wait_until(ended, what="the worker died or is done")
        if process.poll() is None:
            process.terminate()
        await asyncio.to_thread(process.communicate)
    finally:
        process.kill()
        process.communicate()  # where the test failed; what is not waited for fails some later test as well
    return process.returncode == -signal.SIGKILL
