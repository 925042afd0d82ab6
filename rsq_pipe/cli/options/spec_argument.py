"""SpecArgument: the pipeline file that a command is about."""

from __future__ import annotations

from pathlib import Path

import click

spec_argument = click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC")
