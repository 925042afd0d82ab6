"""PartSeries: the parts of one sink in its bucket, in the order of their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.objects.bucket import Bucket, MissingError, TakenError
from rsq_pipe.connectors.objects.naming import Naming
from rsq_pipe.connectors.objects.progress import Progress
from rsq_pipe.connectors.objects.write_options import WriteOptions
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.errors import SinkError


class PartSeries:
    """
    Create parts, and find those that exist.

    Args:
        options: The sink's settings.
        content: The media type of a part.
        stage: The sink stage, for errors.
    """

    def __init__(self, options: WriteOptions, content: str, *, stage: str) -> None:
        self.bucket = Bucket(options)
        self.naming = Naming(self.bucket.address.path, options.partition_by)
        self._exists = options.exists
        self._content = content
        self._stage = stage

    def progress(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> Progress:
        """Return the progress stored in a position, or where to begin; `fresh` deletes parts that exist."""
        self.bucket.check_readable(self.naming.prefix)
        if position is None or fresh:
            return Progress(self._first(still, fresh=fresh))
        try:
            return Progress.load(position)
        except ValueError as exc:
            raise self.error(f"{position!r} is not a stored position; use --fresh to start over") from exc

    def put(self, name: str, data: bytes, *, part: str) -> None:
        """
        Create a part that must not exist yet.

        Raises:
            TakenError: It exists.
        """
        self.bucket.put(name, data, part=part, content=self._content)

    def make(self, name: str, data: bytes, *, part: str) -> None:
        """
        Create a part, unless an earlier request has.

        Raises:
            TargetUnavailableError: Another part has this name.
        """
        try:
            self.put(name, data, part=part)
        except TakenError as exc:
            try:
                there = self.bucket.part(name)
            except MissingError:
                there = None  # two requests at once, and the store accepted neither
            if there != part:
                # When opened again, it finds out whose it is.
                raise TargetUnavailableError(f"another writer has created {self.url(name)}") from exc

    def after_foreign(self, name: str, progress: Progress, exc: Exception) -> Progress:
        """Continue after a part that this pipeline did not write; raise SinkError unless that is allowed."""
        if self._exists != "append":
            raise self.error(
                f"{self.url(name)} is there, and this pipeline did not write it, or Redis was restored "
                "to an earlier state; move it away, or set `exists: append` to continue after it"
            ) from exc
        return Progress(max(self._found(), default=0) + 1, carried=progress.carried)

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Raise what the store says as errors of a sink."""
        try:
            yield
        except AwayError as exc:
            raise TargetUnavailableError(str(exc)) from exc
        except (RefusedError, MissingError) as exc:
            raise self.error(str(exc)) from exc

    def url(self, path: str) -> str:
        """Return the address of an object."""
        return self.bucket.address.name(path)

    def error(self, why: str) -> SinkError:
        """Build an error that ends the run."""
        return SinkError(f"stage {self._stage!r}: {why}", stage=self._stage)

    def _found(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for one in self.bucket.list(self.naming.prefix):
            number = self.naming.number(one.path)
            if number is not None:
                found.setdefault(number, []).append(one.path)
        return found

    def _first(self, still: Callable[[], bool], *, fresh: bool) -> int:
        """Decide what to do with existing parts, and where to begin: no name is used twice."""
        found = self._found()
        if not found:
            return 1
        if fresh or self._exists == "replace":
            for number in sorted(found):
                for path in found[number]:
                    if not still():
                        raise self.error("another process has become its writer")
                    self.bucket.delete(path)
        elif self._exists == "error":
            first = next(iter(found.values()))[0]
            raise self.error(
                f"{self.url(first)} exists and was not written by this pipeline; set "
                "`exists: append` to continue after it, move it away, or run with --fresh to delete them"
            )
        return max(found) + 1
