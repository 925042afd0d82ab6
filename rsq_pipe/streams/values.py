"""Values: hashes and texts under many keys, read in one write per server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from redis.exceptions import ResponseError

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command, checked

Form = Literal["hash", "json"]
Value: TypeAlias = Mapping[bytes, bytes] | bytes | None

WRONG_TYPE = "neither a hash nor a text"
_COMMAND: dict[Form, str] = {"hash": "HGETALL", "json": "GET"}
_OTHER: dict[Form, Form] = {"hash": "json", "json": "hash"}


class WrongTypeError(ValueError):
    """A key that holds another type than expected."""


class Values:
    """
    Read the values of keys: hashes as mappings, texts as bytes.

    Args:
        client: The server; in a cluster keys may be in any slot.
        form: The type that the keys hold; None to find out.
    """

    def __init__(self, client: StreamClient, form: Form | None) -> None:
        self._client = client
        self._form = form
        self._likely: Form = form or "hash"

    async def read(self, keys: Sequence[str]) -> list[Value | WrongTypeError]:
        """
        Read each key's value; None if there is none.

        Raises:
            StreamError: The server cannot be reached, or refuses.

        Redis: HGETALL or GET for each key, in one write per server; the other one for keys of the other type.
        """
        found = await self._asked(keys, self._likely)
        again = [at for at, one in enumerate(found) if isinstance(one, WrongTypeError)]
        if self._form is None and again:
            other = _OTHER[self._likely]
            for at, one in zip(again, await self._asked([keys[at] for at in again], other), strict=True):
                found[at] = WrongTypeError(WRONG_TYPE) if isinstance(one, WrongTypeError) else one
            if not any(isinstance(found[at], WrongTypeError) for at in again):
                self._likely = other
        return found

    async def _asked(self, keys: Sequence[str], form: Form) -> list[Value | WrongTypeError]:
        commands: list[Command] = [[_COMMAND[form], key] for key in keys]
        channel = self._client.channel
        return [_value(one, form, channel.address) for one in await channel.scatter(commands, keys)]


def _value(reply: Any, form: Form, address: str) -> Value | WrongTypeError:
    if isinstance(reply, ResponseError) and "WRONGTYPE" in f"{getattr(reply, 'status_code', '')} {reply}":
        return WrongTypeError(f"no {'hash' if form == 'hash' else 'text'}")
    value = checked(reply, address)
    if form == "json":
        return value  # type: ignore[no-any-return]
    return dict(zip(value[::2], value[1::2], strict=True)) if value else None
