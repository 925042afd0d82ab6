"""`rsq-pipe schema`: print the schema from which editors complete pipeline files."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click

from rsq_pipe.spec.reference import reference_page
from rsq_pipe.spec.schema import schema_text


@click.command("schema")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to a file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "markdown"]),
    default="json",
    show_default=True,
    help="The JSON Schema, or the reference page of all settings.",
)
@click.option("--tests", is_flag=True, help="The JSON Schema of test files, orders_test.yaml, instead.")
def command(output: Path | None, form: str, tests: bool) -> None:
    """
    Print the JSON Schema of pipeline files.

    Editors complete and check a file that begins with
    `# yaml-language-server: $schema=pipeline.schema.json`.
    """
    if tests:
        from rsq_pipe.testing.cases.schema import schema_text as schema_of_tests  # noqa: PLC0415  takes a while

        if form != "json":
            raise click.UsageError("--tests has no reference page; see docs/guide/testing.md")
        text = schema_of_tests()
    else:
        text = schema_text() if form == "json" else reference_page()
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise click.FileError(str(output), hint=exc.strerror) from exc
