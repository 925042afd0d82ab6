"""
Mistakes in handlers that a type checker must find.

Each `type: ignore` says which error is expected; under `warn_unused_ignores` one that is not found fails.
"""

from __future__ import annotations

from typing import Any

from rsq_pipe import Context, Drop, Emit, Retry, batch_handler


def wrong_outcomes(order: dict[str, Any]) -> list[Any]:
    return [
        Emit(5),  # type: ignore[arg-type]
        Emit({}, port="large"),  # type: ignore[call-arg]
        Emit({}, headers={"n": 1}),  # type: ignore[dict-item]
        Drop(reason=3),  # type: ignore[arg-type]
        Retry(after=[1]),  # type: ignore[arg-type]
    ]


def wrong_context(order: dict[str, Any], ctx: Context) -> None:
    ctx.rid = "mine"  # type: ignore[misc]
    ctx.headers["rid"] = "mine"  # type: ignore[index]
    ctx.record  # type: ignore[attr-defined]  # noqa: B018
    ctx.resource(5)  # type: ignore[call-overload]


@batch_handler
def batch(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return orders


batch({"one": "record"})  # type: ignore[arg-type]
batch_handler(5)  # type: ignore[type-var]
