"""ObjectReader: reads objects one after another, each with the file source of its format."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.files.notice import notice
from rsq_pipe.connectors.objects import copies
from rsq_pipe.connectors.objects.bucket import Bucket, Found, MissingError
from rsq_pipe.connectors.objects.naming import Pattern
from rsq_pipe.connectors.objects.read_options import ReadOptions, file_options
from rsq_pipe.connectors.outage import SourceBackoff, report_recovery
from rsq_pipe.connectors.source import Chunk, Source
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SourceError

MOST = 100_000
"""Maximum number of objects that have their own position in Redis."""

FIRST, LONGEST = 0.1, 60.0
"""Seconds between two attempts: the first pause, doubled up to the longest."""

PATIENCE = 10.0
"""Seconds for which a listing that has to succeed is retried: a stop waits for it."""

ORDERED = "objects"
"""The only shard of a source that reads in the order of names."""


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    Hold how far objects have been read, as stored with the records.

    Args:
        name: The object, if one mark is for all of them.
        after: The object that was read before it.
        tag: Distinguishes it from another object of the same name.
        at: The position in it, from the file source.
        done: Whether it has been read to its end.
    """

    name: str = ""
    after: str = ""
    tag: str = ""
    at: str = ""
    done: bool = False


class ObjectReader:
    """
    Yield the records of objects.

    An object is copied into a file while it is read, and read like files, so that one version of it is read.
    An object that is continued later is copied again, and has to be the same.

    Args:
        options: The source's settings.
        stage: The source's stage, for errors.
    """

    resumable = True

    def __init__(self, options: ReadOptions, *, stage: str) -> None:
        self._options = options
        self._stage = stage
        self._bucket = Bucket(options)
        self._pattern = Pattern(self._bucket.address.path)
        self._seen: dict[str, str] = {}
        self._listed_at = 0.0
        self._listing = SourceBackoff(options.every or 0.0, options.every or 0.0)
        self.endless = options.every is not None

    def shards(self) -> Sequence[str]:
        """Name the objects, sorted."""
        if self._options.ordered:
            self._listed_at = time.monotonic()
            return [ORDERED]
        self._seen = {}  # objects not read to their end when reading was interrupted are named again
        names = self._new()
        if not names and not self.endless:
            raise self._error(
                f"{self._options.url} names no object; correct it, or set `every` to wait for one"
            )
        return names

    def changed(self) -> Sequence[str]:
        """Name the objects that are new since they were last listed."""
        if time.monotonic() - self._listed_at < (self._options.every or 0):
            return ()
        if self._options.ordered:
            self._listed_at = time.monotonic()
            return [ORDERED]
        return self._new()

    def is_gone(self, shard: str) -> bool:  # noqa: ARG002  only new objects are listed
        """Return False: an object that cannot be read is told of until the run ends."""
        return False

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """Yield the records after `position`."""
        mark = self._load(position)
        if shard != ORDERED or not self._options.ordered:
            yield from self._object(Found(shard, 0, self._seen.get(shard, "")), mark, size)
            return
        after = mark.name if mark.done else mark.after
        for found in self._listed(after or self._options.start_after or ""):
            begun = mark if found.path == mark.name else Mark(found.path, after)
            yield from self._object(found, begun, size)
            after = found.path

    def _object(self, found: Found, mark: Mark, size: int) -> Iterator[Chunk]:
        """Read one object; the last chunk marks it as complete."""
        if mark.done and (mark.tag == found.tag or not found.tag):
            return
        with copies.folder() as folder:
            tag = self._copied(found.path, folder)
            if tag is None:
                notice("warning", "the object is gone, and was not read", self._stage, found.path)
                return
            if mark.tag and mark.tag != tag:
                raise self._error(
                    f"{self._bucket.address.name(found.path)} is not the object that was read: it was "
                    "written over (use --fresh to start over, or give the new one another name)"
                )
            held: Chunk | None = None
            try:
                for chunk in self._source(folder).read(found.path, mark.at, size):
                    if held is not None:
                        yield _marked(held, mark, tag)
                    held = chunk
            except SourceError:
                if held is not None:
                    yield _marked(held, mark, tag)
                raise
            yield _marked(held or Chunk([], (), mark.at), mark, tag, done=True)

    def _source(self, folder: Path) -> Source:
        reads = self._options.reads
        found = connector("source", reads.type)
        source: Source = found.made(file_options(reads), pipeline="", stage=self._stage, root=folder)
        return source

    def _copied(self, name: str, folder: Path) -> str | None:
        """Copy an object, however long it takes; None if it no longer exists."""
        path, backoff = folder / name, SourceBackoff(FIRST, LONGEST)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                try:
                    return self._bucket.fetch(name, path)
                except AwayError as exc:
                    time.sleep(self._fails(backoff, exc, name))
        except MissingError:
            return None
        except RefusedError as exc:
            raise self._error(str(exc)) from exc
        except OSError as exc:
            raise self._error(f"{name} cannot be copied into {folder}: {exc.strerror or exc}") from exc

    def _new(self) -> list[str]:
        """List the objects that have not been named yet, or have been replaced."""
        self._listed_at = time.monotonic()
        found = list(self._listed(self._options.start_after or "", most=MOST))
        names = [one.path for one in found if self._seen.get(one.path) != one.tag]
        self._seen = {one.path: one.tag for one in found}
        return names

    def _pages(self, after: str) -> Iterator[Found]:
        """List the existing objects; if a listing breaks off, retry from there for a while."""
        until, backoff = time.monotonic() + PATIENCE, SourceBackoff(FIRST, LONGEST)
        while True:
            try:
                for found in self._bucket.list(self._pattern.prefix, after=after):
                    after = found.path
                    until = time.monotonic() + PATIENCE
                    backoff.works()
                    yield found
            except AwayError as exc:
                if self.endless or time.monotonic() > until:
                    raise
                time.sleep(self._fails(backoff, exc, self._options.url))
            else:
                return

    def _listed(self, after: str, most: int | None = None) -> Iterator[Found]:
        count = 0
        try:
            for found in self._pages(after):
                if self._pattern.matches(found.path):
                    count += 1
                    if most is not None and count > most:
                        raise self._error(
                            f"{self._options.url} names more than {most:,} objects; set `ordered: true` if "
                            "new ones sort after the existing ones, or `start_after`"
                        )
                    yield found
            if self._listing.works():
                report_recovery()
        except AwayError as exc:
            if not self.endless:
                raise self._error(str(exc)) from exc
            self._fails(self._listing, exc, self._options.url)
        except RefusedError as exc:
            raise self._error(str(exc)) from exc

    def _fails(self, backoff: SourceBackoff, exc: AwayError, what: str) -> float:
        """Report and log a failed attempt at an object or a listing; return the seconds to the next one."""
        wait = backoff.fails(exc)
        notice("warning", f"tried again in {wait:g} s: {exc}", self._stage, what)
        return wait

    def _load(self, position: str) -> Mark:
        try:
            return msgspec.json.decode(position, type=Mark) if position else Mark()
        except msgspec.DecodeError as exc:
            raise self._error(f"{position!r} is not a stored position; use --fresh to start over") from exc

    def _error(self, why: str) -> SourceError:
        return SourceError(f"stage {self._stage!r}: {why}", stage=self._stage)


def _marked(chunk: Chunk, begun: Mark, tag: str, *, done: bool = False) -> Chunk:
    """Add to a chunk its position: the object, and the place in it."""
    mark = Mark(begun.name, begun.after, tag, chunk.position, done)
    chunk.position = msgspec.json.encode(mark).decode()
    return chunk
