"""StageHandler: a handler with everything its calls need in one stage worker."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rsq_pipe.error_text import full_text
from rsq_pipe.handlers.annotation import is_typed_dict
from rsq_pipe.handlers.handler import Handler
from rsq_pipe.handlers.validation import validator
from rsq_pipe.model.outcome import Failure
from rsq_pipe.spec.graph import Stage
from rsq_pipe.verbs.context import StageContext, Values
from rsq_pipe.verbs.contract import Contract
from rsq_pipe.verbs.executor import Executor, ThreadExecutor
from rsq_pipe.verbs.normalise import Normaliser
from rsq_pipe.verbs.resources import Resources
from rsq_pipe.verbs.task_executor import TaskExecutor

CLOSE_TIMEOUT = 5.0  # seconds that closing one resource may take


class StageHandler:
    """
    Hold a handler, its executor, its context and resources, and its contract.

    Args:
        stage: The stage the handler works for.
        handler: The user's function, described.
        root: The project root.
        pipeline: The pipeline's name.
    """

    def __init__(self, stage: Stage, handler: Handler, *, root: Path, pipeline: str) -> None:
        self.handler = handler
        self.contract = Contract(
            stage.name,
            handler.name,
            ports=frozenset(stage.outputs),
            plain=not is_typed_dict(handler.annotation),
        )
        self.normaliser = Normaliser(stage)
        self.validate = None if handler.annotation is None else validator(handler.annotation, stage.name)
        self.executor: Executor = (
            TaskExecutor(stage.name, stage.timeout, 1 if handler.batch else stage.concurrency)
            if handler.is_async
            else ThreadExecutor(stage.name, stage.timeout)
        )
        self._resources = Resources(stage.name)
        self.context = StageContext(
            stage.name, pipeline, Values(stage.values, stage.name), root, self._resources
        )

    async def close(self) -> None:
        """Close the resources, last one first, then the executor; log what cannot be closed."""
        for closer in self._resources.take_closers():
            error = await self._close(closer)
            if error is not None:
                self.context.logger.warning("a resource could not be closed", error=full_text(error))
        await self.executor.close()

    async def _close(self, closer: Callable[[], Any]) -> BaseException | None:
        """Run it in the executor, as some connections can be closed only by the thread that opened them."""
        call = _called_and_awaited if self.handler.is_async else _called
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                [result] = await self.executor.each(call, [closer])
                if inspect.isawaitable(result):
                    await result
        except TimeoutError:
            return TimeoutError(f"it took longer than {CLOSE_TIMEOUT:g} s")
        except Exception as exc:  # noqa: BLE001 - whatever a library's close() raises
            return exc
        return result.error if isinstance(result, Failure) else None


def _called(closer: Callable[[], Any]) -> Any:
    return closer()


async def _called_and_awaited(closer: Callable[[], Any]) -> None:
    result = closer()
    if inspect.isawaitable(result):
        await result
