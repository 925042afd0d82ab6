"""Bucket: the requests to one store, each with a time limit, and the meaning of their errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from rsq_pipe.connectors.endpoint import AwayError, Endpoint, RefusedError, UnreachableError
from rsq_pipe.connectors.objects.settings import SCHEMES, Address, StoreOptions, client_settings
from rsq_pipe.redaction import redact

_CONNECT = timedelta(seconds=10)

RETRIES = 2
"""How often the client itself repeats a request before it gives up."""

PART = "rsq-part"
"""The metadata entry of an object that identifies the part."""

PART_IN_AZURE = "rsq_part"
"""The same where names of metadata must be identifiers."""

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]+)</Code>")
_PASSING = frozenset({408, 409, 425, 429})
_LOGIN_OF_MACHINES = ("169.254.169.254", "metadata.google.internal")


class TakenError(Exception):
    """An object of that name already exists."""


class MissingError(Exception):
    """There is no object of that name."""


class Found(Struct, frozen=True):
    """
    Identify an object.

    Args:
        path: Its name.
        size: Its size in bytes.
        tag: Distinguishes it from another object of the same name.
    """

    path: str
    size: int
    tag: str


class Bucket:
    """
    Talk to a store. All methods block, and raise AwayError and RefusedError.

    Args:
        options: The store.
        timeout: Seconds for a request, if not those of the options.
    """

    def __init__(self, options: StoreOptions, timeout: float | None = None) -> None:
        self.address = Address.of(options.url)
        self._options = options
        self._timeout = options.timeout if timeout is None else timeout
        self._opened: Any = None

    def put(self, path: str, data: bytes, *, part: str, content: str) -> None:
        """
        Create an object that must not exist yet.

        Raises:
            TakenError: It exists.
        """
        with self._errors(path):
            attributes = {"Content-Type": content, self._entry: part}
            how = {"mode": "create", "use_multipart": False, "attributes": attributes}
            _library().put(self._store(), path, data, **how)

    def part(self, path: str) -> str:
        """
        Return which part an object is, according to its metadata; empty if unknown.

        Raises:
            MissingError: It does not exist.
        """
        with self._errors(path):
            found = _library().get(self._store(), path, options={"head": True})
            attributes: Mapping[str, str] = found.attributes
            return attributes.get(self._entry, "")

    def list(self, prefix: str, *, after: str = "") -> Iterator[Found]:
        """List the objects whose names begin like this, sorted by name, after one of them."""
        with self._errors(prefix):
            # The library takes a prefix for a folder; other objects it lists are left out here.
            folder = prefix.rpartition("/")[0]
            for page in _library().list(self._store(), folder or None, offset=after or None):
                for one in page:
                    if one["path"].startswith(prefix):
                        yield Found(one["path"], one["size"], one["e_tag"] or str(one["last_modified"]))

    def check_readable(self, prefix: str) -> None:
        """Check whether the bucket can be read."""
        next(self.list(prefix), None)

    def delete(self, path: str) -> None:
        """Delete an object."""
        with self._errors(path):
            _library().delete(self._store(), path)

    def fetch(self, path: str, to: Path) -> str:
        """
        Copy an object into a file.

        Returns:
            The tag, which distinguishes it from another object of the same name.

        Raises:
            MissingError: It does not exist.
            OSError: The file cannot be written.
        """
        with self._errors(path):
            found = _library().get(self._store(), path)
            tag = found.meta["e_tag"] or str(found.meta["last_modified"])
            blocks = iter(found.stream(min_chunk_size=4 << 20))
        with to.open("wb") as file:
            while True:
                with self._errors(path):
                    block = next(blocks, None)
                if block is None:
                    return str(tag)
                file.write(block)

    @property
    def _entry(self) -> str:
        return PART_IN_AZURE if self.address.scheme == "az" else PART

    def _store(self) -> Any:
        if self._opened is None:
            self._opened = self._made()
        return self._opened

    def _made(self) -> Any:
        from obstore import store  # noqa: PLC0415  imported where it is needed

        seconds = timedelta(seconds=self._timeout)
        times = {"timeout": seconds, "connect_timeout": min(seconds, _CONNECT)}
        plain = (self._options.endpoint or "").startswith("http://")
        open_store: Any = store.from_url
        return open_store(
            f"{self.address.scheme}://{self.address.bucket}",
            client_options={**times, "allow_http": plain},
            retry_config={"max_retries": RETRIES, "retry_timeout": seconds},
            **client_settings(self._options),
        )

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except GeneratorExit:
            raise
        except Exception as exc:
            kind = sorted_out(exc)
            if kind is None:
                raise
            raise kind(redact(self._message(exc, path, kind))) from None

    def _message(self, exc: Exception, path: str, kind: Callable[[str], Exception]) -> str:
        """Describe what happened, to which object, and what to do."""
        text, name = str(exc), self.address.name(path)
        if "NoSuchBucket" in text or "ContainerNotFound" in text:
            return f"there is no bucket {self.address.bucket!r}; make it, or correct `url`"
        if any(host in text for host in _LOGIN_OF_MACHINES):
            fix = f"set `credentials`, or in the environment what {self._vendor} reads there"
            return f"{name}: no credentials were found; {fix}"
        if "invalid path" in text:
            fix = "rename it, or narrow `url` so that it is not listed"
            return f"{name}: an object has a name that cannot be asked for: {_short(text)}; {fix}"
        code, status = _CODE.search(text), _STATUS.search(text)
        why = f"{status[1]} {code[1]}" if status and code else status[1] if status else _short(text)
        if kind is RefusedError and status and status[1] in {"401", "403"}:
            return (
                f"{name}: access is denied ({why}); check `credentials`, and what they may do in the bucket"
            )
        if kind is RefusedError:
            return f"{name}: it refuses the request ({why}); check `url`, `endpoint` and `region`"
        if kind is AwayError:
            if status:
                return f"{name}: it answers {why}"
            return f"{name}: no answer ({why}); check `endpoint`, and the network"
        return f"{name}: {why}"

    @property
    def _vendor(self) -> str:
        return SCHEMES[self.address.scheme]


def sorted_out(exc: Exception) -> Callable[[str], Exception] | None:
    """Return the class of our error for one of the library's; None if it is not the library's."""
    from obstore import exceptions  # noqa: PLC0415

    if isinstance(exc, TakenError | MissingError | AwayError | RefusedError):
        return None
    text = str(exc)
    if "NoSuchBucket" in text or "ContainerNotFound" in text:
        return RefusedError
    if isinstance(exc, exceptions.AlreadyExistsError | exceptions.PreconditionError):
        return TakenError
    if isinstance(exc, FileNotFoundError) and "not found" in text:
        return MissingError
    if isinstance(exc, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return RefusedError
    if not isinstance(exc, exceptions.BaseError):
        return None
    status = _STATUS.search(text)
    if status is not None and 400 <= int(status[1]) < 500 and int(status[1]) not in _PASSING:
        return RefusedError
    return AwayError if isinstance(exc, exceptions.GenericError) else RefusedError


def _short(text: str) -> str:
    first = text.partition("\n")[0]
    found = first.rpartition(" - ")[2]
    return found if len(found) <= 200 else f"{found[:200]}..."


def _library() -> Any:
    import obstore  # noqa: PLC0415  imported where it is needed

    return obstore


def reachable(options: StoreOptions, prefix: str) -> Endpoint:
    """Return a store as an endpoint that is only read; whether it can be written is not tried."""

    def check_readable(seconds: float) -> str | None:
        try:
            Bucket(options, seconds).check_readable(prefix)
        except (AwayError, RefusedError) as exc:
            raise UnreachableError(str(exc)) from exc
        return None

    return Endpoint(options.url, check_readable)
