"""sink `python`: a user's function, called for its side effects with the records of a batch and their ids."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.errors import HandlerContractError, HandlerNotFoundError
from rsq_pipe.handlers.handler import Handler
from rsq_pipe.handlers.named import named
from rsq_pipe.spec.graph import ConnectorRef, Stage
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.units import counted
from rsq_pipe.verbs.batch_call import BatchCall
from rsq_pipe.verbs.context import BatchContext
from rsq_pipe.verbs.stage_handler import StageHandler
from rsq_pipe.verbs.verb import Verb


def python_sink(stage: Stage, *, root: Path, pipeline: str, form: Serializer | None) -> Verb:
    """
    Build the verb of a sink that calls a user's function.

    If the function raises, it is called again with each half of the records, until only bad ones are left.

    Raises:
        HandlerNotFoundError: The function does not exist, or its module cannot be imported.
    """
    ref: ConnectorRef = stage.options
    module, _, name = ref.options.call.partition(":")
    try:
        function = named(module, name, ref.home or root)
    except HandlerNotFoundError as exc:
        raise exc.in_stage(stage.name, "call its function") from exc
    is_async = inspect.iscoroutinefunction(function)
    returned = _Returned(stage.name, ref.options.call)
    make = _awaited if is_async else _called
    called = make(function, ref.options.with_, returned)
    handler = Handler(
        called, ref.options.call, batch=True, is_async=is_async, takes_context=True, annotation=None
    )
    # Like `call` with `to: none`: the return value gives the outcome of a record, and is emitted nowhere.
    effects = replace(stage, verb="call", outputs={})
    at = StageHandler(effects, handler, root=root, pipeline=pipeline)
    return BatchCall(at, form.decode if form else None)


class _Returned(Struct, frozen=True):
    """Interpret the return value of a stage's function."""

    stage: str
    name: str

    def outcomes(self, returned: Any, count: int) -> list[Any]:
        """Return an outcome for each record; a function that returns nothing has done them all."""
        if returned is None:
            return [None] * count
        if not isinstance(returned, list):
            kind = type(returned).__name__
            raise self._error(f"returned {kind}; return nothing, or a list with an outcome for each record")
        if len(returned) != count:
            raise self._error(
                f"returned {counted(len(returned), 'outcome')} for {counted(count, 'record')}; "
                "return nothing, or a list with one for each, in order"
            )
        return returned

    def _error(self, what: str) -> HandlerContractError:
        return HandlerContractError(f"stage {self.stage!r}: function {self.name!r} {what}", stage=self.stage)


_Called = Callable[[list[Any], BatchContext], Any]


def _called(function: Callable[..., Any], values: dict[str, Any], returned: _Returned) -> _Called:
    def call(records: list[Any], ctx: BatchContext) -> Any:
        return returned.outcomes(function(records, list(ctx.rids), **values), len(ctx.rids))

    return call


def _awaited(function: Callable[..., Any], values: dict[str, Any], returned: _Returned) -> _Called:
    async def call(records: list[Any], ctx: BatchContext) -> Any:
        return returned.outcomes(await function(records, list(ctx.rids), **values), len(ctx.rids))

    return call
