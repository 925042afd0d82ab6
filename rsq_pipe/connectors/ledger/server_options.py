"""ServerOptions: the settings of all sinks for databases on servers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from rsq_pipe.connectors.ledger.options import LEDGER, TableOptions
from rsq_pipe.units import Duration


class ServerOptions(TableOptions):
    """Settings of a sink that writes the rows of a table on a server."""

    dsn: str = Field(repr=False)
    table: str = Field(
        description="The table, `orders` or `sales.orders`, as spelt in the database, without quotes."
    )
    create: bool = False
    types: dict[str, str] = Field(
        default={}, description="Column -> database type, for `create`, to override the type above."
    )
    ledger: str | None = Field(
        default=None,
        description=f"The table of the ledger, created if it does not exist. Default: `{LEDGER}` in the "
        "schema of `table`; in MySQL, that is its database.",
    )
    timeout: Annotated[Duration, Field(ge=1)] = Field(
        default="30s",
        validate_default=True,
        description="How long the server may take for one statement; a batch that takes longer is written "
        "again.",
    )

    @field_validator("table", "ledger")
    @classmethod
    def _check_table(cls, name: str | None) -> str | None:
        return None if name is None else cls.check_table(name)

    @model_validator(mode="after")
    def _check_types(self) -> Self:
        if self.types and not self.create:
            raise ValueError("`types` are for `create: true`; set that, or leave them out")
        return self

    @property
    def ledger_table(self) -> str:
        """The table of the ledger."""
        schema, dot, _ = self.table.rpartition(".")
        return self.ledger or f"{schema}{dot}{LEDGER}"

    @classmethod
    @abstractmethod
    def check_table(cls, name: str) -> str:
        """
        Check the name of a table as the server would; each has its own limits and forbidden characters.

        Raises:
            ValueError: It is not one.
        """
