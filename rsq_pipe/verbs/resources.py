"""Resources: what a stage's handler opens once and uses for every record."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Hashable
from threading import RLock
from types import CellType
from typing import Any, TypeVar

from rsq_pipe.errors import HandlerError

R = TypeVar("R")

RESOURCE_LIMIT = 100  # per stage worker; more means that a new factory is made for every record


class Resources:
    """
    Build each resource once per stage worker, and close them in reverse order.

    Thread-safe: a call that timed out may still ask for one while the next call does.

    Args:
        stage: For messages.
    """

    def __init__(self, stage: str) -> None:
        self._stage = stage
        # The factory is kept with its result: while it exists, no other object can have its key.
        self._made: dict[Hashable, tuple[Callable[..., Any], Any]] = {}
        self._closers: list[Callable[[], Any]] = []
        self._lock = RLock()
        # Here, because the import takes 40 ms, and checking a file imports handlers, which import contexts.
        import asyncio  # noqa: PLC0415

        self._async_lock = asyncio.Lock()

    def get(self, factory: Callable[..., R], view: object) -> R:
        """Return the factory's resource, or call it; a factory that raises is called again next time."""
        key = _key(factory, type(view))
        with self._lock:
            if key not in self._made:
                self._keep(key, factory, self._entered(_call(factory, view)))
            return self._made[key][1]  # type: ignore[no-any-return]

    async def get_async(self, factory: Callable[..., Any], view: object) -> Any:
        """Do the same as `get` for a factory that must be awaited, or makes an async context manager."""
        key = _key(factory, type(view))
        async with self._async_lock:
            if key not in self._made:
                made = _call(factory, view)
                made = await made if inspect.isawaitable(made) else made
                self._keep(key, factory, await self._entered_async(made))
            return self._made[key][1]

    def take_closers(self) -> list[Callable[[], Any]]:
        """Remove all resources; return their close functions, in calling order, some of them awaitable."""
        with self._lock:
            closers = self._closers[::-1]
            self._closers.clear()
            self._made.clear()
        return closers

    def _keep(self, key: Hashable, factory: Callable[..., Any], resource: Any) -> None:
        if len(self._made) >= RESOURCE_LIMIT:
            raise HandlerError(
                f"stage {self._stage!r}: the handler made more than {RESOURCE_LIMIT} resources; give "
                "ctx.resource() a function defined at the top of the module, not one made for each record",
                stage=self._stage,
            )
        self._made[key] = factory, resource

    def _entered(self, made: Any) -> Any:
        """Enter a context manager, and note how to close the resource."""
        if inspect.isawaitable(made) or (hasattr(made, "__aenter__") and not _closes(made)):
            if inspect.iscoroutine(made):
                made.close()
            raise HandlerError(
                f"stage {self._stage!r}: this resource must be awaited; use `await ctx.async_resource(...)` "
                "in an async handler",
                stage=self._stage,
            )
        if not hasattr(made, "__enter__"):
            self._note_close(made)
            return made
        resource = made.__enter__()
        # Some connections commit in __exit__ and close only in close().
        self._note_close(resource)
        self._closers.append(lambda: made.__exit__(None, None, None))
        return resource

    async def _entered_async(self, made: Any) -> Any:
        if not hasattr(made, "__aenter__"):
            return self._entered(made)
        resource = await made.__aenter__()
        self._closers.append(lambda: made.__aexit__(None, None, None))
        return resource

    def _note_close(self, resource: Any) -> None:
        close = getattr(resource, "aclose", None) or getattr(resource, "close", None)
        if callable(close) and not inspect.isclass(resource):
            self._closers.append(close)


def _closes(made: Any) -> bool:
    return hasattr(made, "aclose") or hasattr(made, "close") or hasattr(made, "__enter__")


def _call(factory: Callable[..., Any], view: object) -> Any | Awaitable[Any]:
    """Call a factory with the stage's view if it takes a parameter, otherwise without arguments."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return factory()
    wants = any(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters
    )
    return factory(view) if wants else factory()


def _key(factory: Callable[..., Any], view: type) -> Hashable:
    """
    Return the identity of a factory.

    A lambda in a handler is a new function at each call, but its code and its closure are the same; nearly
    all of them close over the context, and all contexts of a stage are equivalent.
    """
    if not inspect.isfunction(factory):
        return factory
    cells = tuple(_content(cell, view) for cell in factory.__closure__ or ())
    return factory.__code__, cells, tuple(_by_value(default) for default in factory.__defaults__ or ())


def _content(cell: CellType, view: type) -> Hashable:
    content = cell.cell_contents
    return view if isinstance(content, view) else _by_value(content)


def _by_value(content: Any) -> Hashable:
    try:
        hash(content)
    except TypeError:
        return id(content)
    return content  # type: ignore[no-any-return]
