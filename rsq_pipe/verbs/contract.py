"""Contract: which values a handler may return, and what they mean."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from pydantic import BaseModel

from rsq_pipe.errors import HandlerContractError
from rsq_pipe.model.key_texts import same_text
from rsq_pipe.model.outcome import Drop, Emit, Failure, Outcome, Reject, Retry
from rsq_pipe.model.subclasses import plain_value
from rsq_pipe.units import parse_duration

ALLOWED = "a dict, None, a list of dicts, a model, or Emit, Drop, Retry, Reject"


LONGEST_RETRY = 10**10
"""Seconds until a retry, at most: some 300 years. Of one due much later Redis could not hold the time."""

_SCALARS = frozenset((str, int, float, bool, type(None)))


class Contract(msgspec.Struct, frozen=True):
    """
    Turn what one stage's handler returns into outcomes.

    Args:
        stage: The stage, for messages.
        handler: The handler, for messages.
        ports: The ports a record may be sent to, besides the default output.
        plain: Whether a returned dict can be passed on as it is. One that was validated as a TypedDict may
            hold dates or Decimals, and is made encodable first.
    """

    stage: str
    handler: str
    ports: Collection[str] = ()
    plain: bool = True

    def outcome(self, value: Any) -> Outcome:
        """
        Accept one returned value.

        Raises:
            HandlerContractError: A handler may not return this.
        """
        if type(value) is dict and self.plain:
            return value
        if value is None or isinstance(value, Drop | Reject):
            reason: Any = "" if value is None else value.reason
            if not isinstance(reason, str):
                what = "drop" if isinstance(value, Drop) else "reject"
                raise self.error(f"gave a {what} a reason that is not a string: {_kind(reason)}")
            return value
        if isinstance(value, Retry):
            return self._retry(value)
        if isinstance(value, list):
            return [self._child(child, is_item=True) for child in value]
        return self._child(value)

    def error(self, what: str) -> HandlerContractError:
        """Build an error that names the stage and the handler."""
        return HandlerContractError(
            f"stage {self.stage!r}: handler {self.handler!r} {what}", stage=self.stage
        )

    def _child(self, value: Any, *, is_item: bool = False) -> dict[str, Any] | Emit:
        return self._emit(value) if isinstance(value, Emit) else self._record(value, is_item=is_item)

    def _emit(self, value: Emit) -> Emit:
        port: Any = value.to
        if port and not (isinstance(port, str) and port in self.ports):
            ports = ", ".join(sorted(port for port in self.ports if port)) or "none"
            raise self.error(
                f"emitted to port {value.to!r}, which no stage reads; ports read: {ports}. "
                f"Add a stage with `from: {self.stage}.{value.to}`"
            )
        headers: Any = value.headers or {}
        if not isinstance(headers, Mapping):
            raise self.error(f"emitted headers that are {_kind(headers)}; give a dict")
        wrong = [
            name for name, text in headers.items() if not (isinstance(name, str) and isinstance(text, str))
        ]
        if wrong:
            raise self.error(f"emitted header {wrong[0]!r} that is not a string")
        record = self._record(value.record)
        return value if record is value.record else msgspec.structs.replace(value, record=record)

    def _retry(self, value: Retry) -> Retry:
        try:
            after: Any = parse_duration(value.after) if isinstance(value.after, str) else value.after
        except ValueError as exc:
            raise self.error(f"returned Retry(after={value.after!r}): {exc}") from exc
        if after is None or (isinstance(after, int | float) and 0 <= after <= LONGEST_RETRY):
            return value
        raise self.error(f"returned Retry(after={after!r}); give seconds from 0, or a duration such as '30s'")

    def _record(self, value: Any, *, is_item: bool = False) -> dict[str, Any]:
        if type(value) is dict:
            return value if self.plain else self._builtins(value)
        if _is_model(value):
            return self._builtins(value)
        if inspect.iscoroutine(value):
            value.close()
            raise self.error(
                "returned a coroutine that nobody awaits; write `async def` and `return await ...`"
            )
        if is_item:
            raise self.error(f"returned a list that holds {_kind(value)}; it may hold dicts, models and Emit")
        raise self.error(f"returned {_kind(value)}; return {ALLOWED}")

    def _builtins(self, value: Any) -> dict[str, Any]:
        try:
            if isinstance(value, BaseModel):
                record: Any = value.model_dump(mode="json")
            else:
                record = msgspec.to_builtins(value, str_keys=True, enc_hook=_dump_inner)
        except (TypeError, ValueError) as exc:
            raise self.error(f"returned {_kind(value)} that cannot be encoded: {exc}") from exc
        if not isinstance(record, dict):
            raise self.error(f"returned {_kind(value)}, which is not encoded as a dict; return {ALLOWED}")
        may_hold_keys = isinstance(value, dict) or not {*map(type, record.values())} <= _SCALARS
        if may_hold_keys and (lost := same_text(value)):
            raise self.error(f"returned {_kind(value)} that cannot be encoded: {lost}")
        return record


def _is_model(value: Any) -> bool:
    if isinstance(value, Emit | Drop | Retry | Reject | Failure | type):  # dataclasses too, but not records
        return False
    return isinstance(value, dict | BaseModel | msgspec.Struct) or dataclasses.is_dataclass(value)


def _dump_inner(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return plain_value(value)


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
