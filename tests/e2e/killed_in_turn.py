"""Two processes of a pipeline, killed in turn while it handles records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from subprocess import Popen

from rsq_pipe.streams.client import StreamClient
from tests.support.command_line import start
from tests.support.project import Project
from tests.support.server import StreamServer


async def killed_in_turn(
    project: Project,
    server: StreamServer,
    victims: Callable[[], Collection[int]],
    outage: Callable[[], Awaitable[None]],
    *,
    stage: str,
    count: int,
    kills: int,
    hidden: str,
    code: int = 0,
    **environ: str,
) -> tuple[int, int]:
    """
    Run a pipeline to its end by two processes, of which some are killed each time records have gone on.

    Args:
        victims: Says which of the two, 0 or 1, are killed and started anew.
        outage: What else happens, before the third kill.
        stage: The stage that is to receive `count` records.
        hidden: What they must not print.
        code: What both processes are to end with.
        environ: Their variables.

    Returns:
        How many of the kills came before all was done; how many records the stage has received.
    """
    client = StreamClient.from_url(f"unix://{server.socket}")
    meta = f"{{{project.pipeline}}}:meta"

    async def settled() -> int:
        return int(await client.channel.execute("HGET", meta, f"{stage}:in", key=meta) or 0)

    def begin() -> Popen[str]:
        return start("run", project.path, "--redis", server.url, cwd=project.root, stdin=None, **environ)

    processes, in_the_middle = [begin() for _ in range(2)], 0
    try:
        for kill in range(kills):
            before = now = await settled()
            async with asyncio.timeout(60):
                while now == before < count:
                    now = await settled()
            in_the_middle += now < count
            if kill == 2:
                await outage()
            for victim in victims():
                processes[victim].kill()
                processes[victim].communicate()
                processes[victim] = begin()
        for process in processes:
            _, err = process.communicate(timeout=90)
            assert process.returncode == code, err
            assert hidden not in err
        return in_the_middle, await settled()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
        await client.close()
