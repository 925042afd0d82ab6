"""Options that sinks have whose database is a file."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from rsq_pipe.connectors.files.path_names import check_path
from rsq_pipe.connectors.ledger.options import TableOptions


def _check(name: str) -> str:
    if "\0" in name:
        raise ValueError("a name cannot hold a NUL character")
    return name


class FileOptions(TableOptions):
    """Settings of a sink that writes the rows of a table in a file."""

    path: Annotated[str, Field(min_length=1), AfterValidator(check_path)] = Field(
        description="The file of the database, relative to the project root; made, with its folders, if it "
        "is not there."
    )
    table: Annotated[str, Field(min_length=1), AfterValidator(_check)] = Field(description="The table.")
    create: bool = False

    @property
    def shown(self) -> str:
        """What is written to, as a user would name it."""
        return f"table {self.table} of {self.path}"
