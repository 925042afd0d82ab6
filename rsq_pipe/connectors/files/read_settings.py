"""Read settings: the common settings of all file sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from rsq_pipe.connectors.files.changes import STABLE
from rsq_pipe.connectors.files.file_end import QUIET
from rsq_pipe.connectors.files.path_names import check_path
from rsq_pipe.connectors.files.unpacked import is_packed, missing_for
from rsq_pipe.units import Size


def _as_list(value: object) -> object:
    if value is None:
        raise ValueError("it names no file; write one path, or a list of them")
    return [value] if isinstance(value, str) else value


def _check(paths: tuple[str, ...]) -> tuple[str, ...]:
    if not paths or "" in paths:
        raise ValueError("an empty path names no file")
    for path in paths:
        check_path(path)
    if missing := next(filter(None, map(missing_for, paths)), ""):
        raise ValueError(f".zst files need a package that is not installed; {missing}")
    if "-" in paths and len(paths) > 1:
        raise ValueError("standard input ('-') cannot be read together with files")
    return paths


Paths = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
    AfterValidator(_check),
    Field(
        description="One path or a list, relative to the project root. `*`, `?`, `[...]` and `**` match "
        "several files, read in sorted order; .gz, .bz2 and .zst files are unpacked; `-` is standard input."
    ),
]


def _not_stdin(paths: tuple[str, ...]) -> tuple[str, ...]:
    if "-" in paths:
        raise ValueError("standard input ('-') cannot be read in this format; put it into a file")
    return paths


FilePaths = Annotated[
    Paths,
    AfterValidator(_not_stdin),
    Field(
        description="One path or a list, relative to the project root. `*`, `?`, `[...]` and `**` match "
        "several files, read in sorted order; .gz, .bz2 and .zst files are unpacked."
    ),
]
MaxLine = Annotated[
    Size,
    Field(
        gt=0,
        description="The longest line in bytes; for csv, the longest record. "
        "A longer one becomes a dead letter that holds its first 64 KiB.",
    ),
]
ChunkBytes = Annotated[
    Size,
    Field(
        gt=0,
        description="Bytes of input after which what was read is stored, even if it is only a few records.",
    ),
]
Final = Annotated[
    bool | None,
    Field(
        description="Whether a last line without a newline is whole: `true`: at once; `false`: never, it "
        f"waits for one. Default: once its file has not changed for {QUIET:g} seconds."
    ),
]
Follow = Annotated[
    bool,
    Field(
        description="Whether the source continues when it has read everything: what is added to its files is "
        "read as it comes. A last line is then read when its newline is there, unless `final: true`."
    ),
]
Watch = Annotated[
    bool,
    Field(
        description="Whether the source continues when it has read everything: files that turn up later are "
        f"read once they have not changed for {STABLE:g} second; with `follow`, at once."
    ),
]


def check_endless(path: tuple[str, ...], *, follow: bool, watch: bool) -> None:
    """Refuse files that cannot be followed or watched, with ValueError."""
    if (follow or watch) and path == ("-",):
        raise ValueError("standard input is read as it comes; leave out `follow` and `watch`")
    packed = next((one for one in path if is_packed(Path(one))), None)
    if follow and packed is not None:
        raise ValueError(
            f"{packed!r} is packed, and no packed file is followed; `watch: true` finds new ones"
        )
