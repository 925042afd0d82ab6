"""`rsq-pipe dlq export`: dead letters as lines that can be edited and replayed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import rich_click as click

from rsq_pipe.cli.dlq.request import DlqRequest, dlq_options
from rsq_pipe.cli.dlq.show import redacted
from rsq_pipe.cli.output.console import how_many, print_passed_over
from rsq_pipe.cli.output.printable import json_line, on_terminal, remark
from rsq_pipe.errors import ReplayError
from rsq_pipe.ops.dead_letters.dead_letter_json import described


@click.command("export")
@dlq_options
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A new file, not standard output."
)
@click.option("--raw", is_flag=True, help="The bytes of one dead letter (--id), as they are.")
def command(request: DlqRequest, output: Path | None, raw: bool) -> None:
    """
    Write dead letters as JSON lines.

    Correct the payloads in the file, remove the lines of letters that are to stay, and `dlq replay --edit
    FILE` sends the rest back. Bytes that are not a record stand under `raw` in base64, and under `text` to be
    read; give such a line a `payload`.
    """
    if raw and len(request.selection.names) != 1:
        raise click.UsageError("--raw writes one dead letter: name it with --id")
    with request.server() as address, _opened(output) as file:
        count = asyncio.run(_export(request, address, file, raw=raw))
        if raw and not count:
            name = request.selection.names[0].id
            raise ReplayError(f"pipeline {request.pipeline!r} has no dead letter {name!r}", dead_letter=name)
    if output:
        remark(f"{request.pipeline}: {how_many(count)} written to {output}")


async def _export(request: DlqRequest, address: str, file: BinaryIO, *, raw: bool) -> int:
    count = 0
    async with request.dead_letters(address) as found:
        async for page in found.pages():
            for letter in page.letters:
                line = letter.raw if raw else json_line(redacted(described(letter, found.payloads))).encode()
                if file.isatty():
                    line = on_terminal(line)
                file.write(line)
                count += 1
    print_passed_over(found.sieve)
    return count


@contextmanager
def _opened(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        # An existing file may be one that is being edited.
        file = output.open("xb")
    except FileExistsError as exc:
        raise click.UsageError(f"{output} exists already; choose another name, or delete it") from exc
    except OSError as exc:
        raise click.FileError(str(output), hint=exc.strerror) from exc
    try:
        with file:
            yield file
    except BaseException as exc:
        # A truncated file would look complete, and block a second try.
        output.unlink(missing_ok=True)
        if isinstance(exc, OSError) and exc.filename is None:
            exc.filename = str(output)
        raise
