"""Files: the shards of a source of files, in any format, found by patterns and opened one at a time."""

from __future__ import annotations

import contextlib
import glob
import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rsq_pipe.connectors.files.amount import Amount
from rsq_pipe.connectors.files.changes import Changes
from rsq_pipe.connectors.files.file_end import FileEnd
from rsq_pipe.connectors.files.incoming import BLOCK_BYTES, Incoming
from rsq_pipe.connectors.files.line_reader import LineReader
from rsq_pipe.connectors.files.matching import TooManyError, matching, meant_file
from rsq_pipe.connectors.files.position import HEAD_BYTES
from rsq_pipe.connectors.files.transcoded import Transcoded
from rsq_pipe.connectors.files.unpacked import Unpacked, is_packed
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import SourceError

STDIN = "stdin"
_BOM = b"\xef\xbb\xbf"


class Files:
    """
    Find the files that patterns name, and open them by shard name.

    A shard is named after its file, relative to the folder that all patterns have in common. The name depends
    only on the patterns, so a file that turns up later does not rename those already read.

    Args:
        patterns: Paths from `root` or absolute, with `*`, `?`, `[...]` and `**`; `-` is standard input.
        root: The project root.
        stage: The source's stage, for errors.
        max_line: Maximum bytes of one line that are kept.
        final: Whether a last line without a newline is whole; None: once its file has stopped changing.
        encoding: For wide characters, the encoding of the files; they are read as UTF-8.
        follow: Whether additions to the files are read as they come.
        watch: Whether files that appear later are read.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        *,
        root: Path,
        stage: str,
        max_line: int,
        final: bool | None,
        encoding: str = "",
        follow: bool = False,
        watch: bool = False,
    ) -> None:
        self.from_stdin = list(patterns) == ["-"]
        self._patterns = [os.path.normpath(pattern) for pattern in patterns]
        self._root = root
        self._stage = stage
        self._max_line = max_line
        self._final = False if follow and final is None else final
        self._follow = follow
        self._watch = watch
        self._changes = Changes(list, self.path, at_once=True)
        self.endless = follow or watch
        self._encoding = encoding
        self._base = Path(os.path.commonpath([root / _fixed_part(pattern) for pattern in self._patterns]))
        self._stdin: LineReader | None = None
        self.amount = Amount()
        """How much of the files has been read."""

    def shards(self) -> list[str]:
        """
        Name the files, sorted, each once; for a source without end, those that can be read by now.

        Raises:
            SourceError: A pattern matches no file, or too many.
        """
        if self.from_stdin:
            return [STDIN]
        if not self.endless:
            found = self._found()
            self.amount.begin({shard: self.path(shard) for shard in found})
            return found
        first = [] if self._watch else self._found()
        self._changes = Changes(
            self._found if self._watch else lambda: first, self.path, at_once=self._follow
        )
        return self.changed()

    def changed(self) -> list[str]:
        """Name the files that have something new since they were last named."""
        return self._changes.next()

    def is_gone(self, shard: str) -> bool:
        """Return whether a file was removed."""
        return not self.from_stdin and not self.path(shard).exists()

    def _found(self) -> list[str]:
        found: set[Path] = set()
        for pattern in self._patterns:
            try:
                paths = {path for path in matching(self._root, pattern) if not path.is_dir()}
            except TooManyError as exc:
                raise SourceError(f"stage {self._stage!r}: {exc}; name a folder", stage=self._stage) from exc
            if not paths and not self._watch:
                raise self._nothing_found(pattern)
            found |= paths
        return [os.path.relpath(path, self._base) for path in sorted(found)]

    @contextlib.contextmanager
    def opened(self, shard: str) -> Iterator[LineReader]:
        """
        Open a shard at its beginning (standard input at its current position) while the block lasts.

        Raises:
            SourceError: The file cannot be opened.
        """
        if self.from_stdin:
            self._stdin = self._stdin or self._open_stdin()
            yield self._stdin
            return
        reader, descriptor = self._open(shard)
        try:
            with self.amount.reading(shard, descriptor):
                yield reader
        finally:
            reader.close()

    def path(self, shard: str) -> Path:
        """Return a shard's file."""
        return self._base / shard

    def name(self, shard: str) -> str:
        """Name a shard's file as the user would."""
        path = self.path(shard)
        return str(path.relative_to(self._root)) if path.is_relative_to(self._root) else str(path)

    def _open(self, shard: str) -> tuple[LineReader, int]:
        path, name = self.path(shard), self.name(shard)
        with contextlib.ExitStack() as on_failure:
            try:
                file = on_failure.enter_context(_open_file(path, self._encoding))
                head = _head(file)
                offset = file.seek(len(_BOM) if head.startswith(_BOM) else 0)
                end = self._end(path, name, file)
            except (OSError, EOFError, zlib.error) as exc:
                raise SourceError(f"file {name} cannot be read: {wording(exc)}", stage=self._stage) from exc
            on_failure.pop_all()
        return self._reader(file, name, head, offset, end), file.fileno()

    def _end(self, path: Path, name: str, file: io.BufferedReader) -> FileEnd:
        # The number of bytes read says nothing about the file's size, as with packed files.
        packed = is_packed(path) or bool(self._encoding)
        return FileEnd(path, name, self._stage, file.fileno(), final=self._final, packed=packed)

    def _open_stdin(self) -> LineReader:
        incoming = Incoming(sys.stdin.fileno())
        file = incoming.file
        offset = len(_BOM) if file.peek(len(_BOM)).startswith(_BOM) else 0
        file.read(offset)
        reader = self._reader(file, "standard input", None, offset)
        reader.incoming = incoming
        return reader

    def _reader(
        self,
        file: io.BufferedReader[Any],
        name: str,
        head: bytes | None,
        offset: int,
        end: FileEnd | None = None,
    ) -> LineReader:
        reader = LineReader(
            file,
            name=name,
            stage=self._stage,
            max_line=self._max_line,
            head=head,
            offset=offset,
            end=end,
        )
        reader.followed = self._follow
        return reader

    def _nothing_found(self, pattern: str) -> SourceError:
        folder = _fixed_part(pattern)
        if (self._root / pattern).is_dir():
            message = f"{pattern!r} is a folder; name the files in it: {pattern + '/*'!r}"
        elif not (self._root / folder).is_dir():
            message = (
                f"no file matches {pattern!r}: there is no folder {str(folder)!r} in {str(self._root)!r}"
            )
        else:
            name = os.path.relpath(pattern, folder)
            message = f"no file matches {name!r} in folder {str(self._root / folder)!r}"
            if meant := meant_file(self._root / folder, name):
                message += f"; {meant}"
        return SourceError(f"stage {self._stage!r}: {message}", stage=self._stage)


class FileSource:
    """
    Name files, and those that grow; a format adds `read`.

    Args:
        files: The files to read.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.endless = files.endless
        self.resumable = not files.from_stdin

    def shards(self) -> Sequence[str]:
        """Name the files, sorted."""
        return self._files.shards()

    def changed(self) -> Sequence[str]:
        """Name the files that have something new."""
        return self._files.changed()

    def is_gone(self, shard: str) -> bool:
        """Return whether a file was removed."""
        return self._files.is_gone(shard)

    def share(self) -> float | None:
        """Return how much of the files has been read."""
        return self._files.amount.share()


def _fixed_part(pattern: str) -> Path:
    """Find the deepest folder of a pattern that contains no wildcard."""
    return next(folder for folder in Path(pattern).parents if not glob.has_magic(str(folder)))


def _open_file(path: Path, encoding: str) -> io.BufferedReader:
    if path.exists() and not path.is_file():
        raise OSError("it is not a regular file; write '-' to read standard input")
    raw: io.RawIOBase = Unpacked(path) if is_packed(path) else io.FileIO(path)
    return io.BufferedReader(Transcoded(raw, encoding) if encoding else raw, BLOCK_BYTES)


def _head(file: io.BufferedReader) -> bytes:
    """Read the first bytes, or as many as a damaged packed file yields."""
    head = bytearray()
    with contextlib.suppress(EOFError, zlib.error, gzip.BadGzipFile):
        while len(head) < HEAD_BYTES and (block := file.read1(HEAD_BYTES - len(head))):
            head += block
    return bytes(head)
