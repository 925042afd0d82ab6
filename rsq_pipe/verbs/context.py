"""Context: what a handler can access besides its record; `with:` values by attribute or by item."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rsq_pipe.model.batch import Batch
from rsq_pipe.suggestion import suggest
from rsq_pipe.telemetry.trace_context import names
from rsq_pipe.verbs.record_headers import whole
from rsq_pipe.verbs.resources import Resources

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

R = TypeVar("R")


class Values(Mapping[str, Any]):
    """
    Hold the values under `with:`, immutable at any depth: lists become tuples, mappings become Values.

    A name that Mapping itself uses, such as `items`, is available by item only: `values["items"]`.
    """

    __slots__ = ("_stage", "_values")

    def __init__(self, values: Mapping[str, Any], stage: str = "") -> None:
        object.__setattr__(self, "_stage", stage)
        object.__setattr__(self, "_values", {key: _frozen(value, stage) for key, value in values.items()})

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise KeyError(self._missing(name)) from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # a protocol method, such as copy's
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(self._missing(name)) from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"values of stage {self._stage!r} cannot be set; change `with:` in the spec")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"Values({', '.join(self._values)})"  # names only: a value may be a secret

    def __reduce__(self) -> tuple[type[Values], tuple[dict[str, Any], str]]:
        return Values, (dict(self._values), self._stage)

    def _missing(self, name: str) -> str:
        hint = suggest(name, self._values, otherwise=f"add `{name}: ...` there")
        return f"stage {self._stage!r} has no {name!r} under `with:`; {hint}"


def _frozen(value: Any, stage: str) -> Any:
    if isinstance(value, Mapping):
        return Values(value, stage)
    if isinstance(value, list | tuple):
        return tuple(_frozen(item, stage) for item in value)
    return value


class StageContext:
    """
    Describe where a handler runs; the same for all records of a stage worker.

    Args:
        stage: The stage's name.
        pipeline: The pipeline's name.
        values: The values under `with:`.
        root: The project root, the base of relative paths.
        resources: The resources that the stage's handler has opened.
    """

    __slots__ = ("_resources", "pipeline", "root", "stage", "values")

    def __init__(self, stage: str, pipeline: str, values: Values, root: Path, resources: Resources) -> None:
        self.stage = stage
        self.pipeline = pipeline
        self.values = values
        self.root = root
        self._resources = resources

    @property
    def logger(self) -> FilteringBoundLogger:
        """A structlog logger that names the pipeline and stage, and for one record its id and trace."""
        # Here, because it costs 80 ms, and `validate` imports this module but logs nothing.
        import structlog  # noqa: PLC0415

        logger: FilteringBoundLogger = structlog.get_logger().bind(**self._facts())
        return logger

    @overload
    def resource(self, factory: Callable[[StageContext], AbstractContextManager[R]]) -> R: ...
    @overload
    def resource(self, factory: Callable[[], AbstractContextManager[R]]) -> R: ...
    @overload
    def resource(self, factory: Callable[[StageContext], R]) -> R: ...
    @overload
    def resource(self, factory: Callable[[], R]) -> R: ...
    def resource(self, factory: Callable[..., Any]) -> Any:
        """
        Open something once per stage worker and process, and use it for every record.

        Args:
            factory: Called the first time, with this stage's context if it takes a parameter. A context
                manager is entered. After a timeout the next call, in another thread, gets the same
                resource.

        Returns:
            The result of the factory. It is closed when the stage ends, in reverse order.
        """
        return self._resources.get(factory, self._view())

    @overload
    async def async_resource(
        self, factory: Callable[[StageContext], AbstractAsyncContextManager[R]]
    ) -> R: ...
    @overload
    async def async_resource(self, factory: Callable[[], AbstractAsyncContextManager[R]]) -> R: ...
    @overload
    async def async_resource(self, factory: Callable[[StageContext], Awaitable[R]]) -> R: ...
    @overload
    async def async_resource(self, factory: Callable[[], Awaitable[R]]) -> R: ...
    async def async_resource(self, factory: Callable[..., Any]) -> Any:
        """Do the same as `resource` for a factory that must be awaited, or makes an async context manager."""
        return await self._resources.get_async(factory, self._view())

    def _facts(self) -> dict[str, str]:
        return {"pipeline": self.pipeline, "stage": self.stage}

    def _view(self) -> StageContext:
        return self


class _CallContext(StageContext):
    """The common base of the contexts of single calls, which are views of their stage's."""

    __slots__ = ("_of",)

    def __init__(self, of: StageContext) -> None:
        # Not by calling the base class: a context is made for every record.
        self.stage = of.stage
        self.pipeline = of.pipeline
        self.values = of.values
        self.root = of.root
        self._resources = of._resources
        self._of = of

    def _view(self) -> StageContext:
        return self._of


class Context(_CallContext):
    """The `ctx` of a per-record handler: its stage's context, and the record's id, attempt and headers."""

    __slots__ = ("_batch", "_place")

    def __init__(self, of: StageContext, batch: Batch, place: int) -> None:
        super().__init__(of)
        self._batch = batch
        self._place = place

    @property
    def rid(self) -> str:
        """The record id, the same in every attempt and replay: use it to deduplicate external effects."""
        return self._batch.rids[self._place]

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._batch.attempts_at(self._place) + 1

    @property
    def headers(self) -> Mapping[str, str]:
        """The record's headers; `Emit(headers=...)` adds to them."""
        return MappingProxyType(whole(self._batch, self._place))

    def _facts(self) -> dict[str, str]:
        return {**super()._facts(), **names(self.rid, self._batch.headers_at(self._place))}


class BatchContext(_CallContext):
    """
    The `ctx` of a batch handler: its stage's context, and each record's id, attempt and headers, in order.

    Args:
        of: The stage's context.
        batch: The batch.
        places: The places of the records in this call; None for all.
    """

    __slots__ = ("_batch", "_places")

    def __init__(self, of: StageContext, batch: Batch, places: Sequence[int] | None = None) -> None:
        super().__init__(of)
        self._batch = batch
        self._places = range(len(batch)) if places is None else places

    @property
    def rids(self) -> tuple[str, ...]:
        """The record ids."""
        rids = self._batch.rids
        return tuple(rids[place] for place in self._places)

    @property
    def attempts(self) -> tuple[int, ...]:
        """Which attempt this is for each record, from 1."""
        attempts_at = self._batch.attempts_at
        return tuple(attempts_at(place) + 1 for place in self._places)

    @property
    def headers(self) -> tuple[Mapping[str, str], ...]:
        """The headers of each record."""
        return tuple(MappingProxyType(whole(self._batch, place)) for place in self._places)
