"""sql in a file: a query that makes records from each record of a batch separately."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Struct, field
from pydantic import Field, ValidationError

from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.models import Output, ReadingStage, Settings
from rsq_pipe.spec.short_form import ShortForm
from rsq_pipe.spec.written import place_in
from rsq_pipe.sql.database import MEMORY, MissingExtraError, open_database
from rsq_pipe.sql.fields import Fields, resolve
from rsq_pipe.sql.layout import Item, OneField
from rsq_pipe.sql.natural import natural
from rsq_pipe.sql.references import ReferenceError_, References
from rsq_pipe.sql.rules import Shape, files_of, read
from rsq_pipe.sql.tree import SqlError, SqlErrors, parse, place, walk
from rsq_pipe.units import Size

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Sql(Settings):
    """A query over each record of a batch separately; a text alone stands for `query`."""

    query: Annotated[str, Field(min_length=1)] = Field(
        description="One SELECT of DuckDB's SQL, FROM batch, that may join files: "
        "`join 'data/airlines.csv' a using (carrier)`; csv, tsv, jsonl, ndjson (also .gz) and "
        "parquet, found from the project root."
    )
    types: dict[str, str] = Field(
        default={},
        description="Field -> the SQL type it is cast to: `{placed: date, customer.age: integer}`; left out: "
        "the type of its value.",
    )
    memory: Size = Field(
        default="512MiB",
        validate_default=True,
        ge=64 * 2**20,
        description="Memory that its files and its query may take in a process.",
    )


SHORT = ShortForm(
    "query", str, {"type": "string"}, "a query, or a mapping; write `sql: select ... from batch`"
)


class SqlStage(ReadingStage):
    """Make records with a query over each record, which may join files."""

    sql: Annotated[Sql, SHORT] = Field(description="The query, or a mapping of the query and its settings.")
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")


class QueryFields(Struct, frozen=True):
    """
    Hold the fields at the top of the records that a query names, and those of the records that it makes.

    Args:
        reads: Those it names -> where in the query, from 0; None where that is not known.
        layout: What it makes, in order.
    """

    reads: Mapping[str, int | None]
    layout: tuple[Item, ...]


class SqlQuery(Struct, frozen=True):
    """
    Hold a query.

    Args:
        query: As written.
        types: Field -> the type it is cast to, if any.
        memory: Maximum bytes of memory.
    """

    query: str
    types: Mapping[str, str] = field(default_factory=dict)
    memory: int = MEMORY

    @property
    def text(self) -> str:
        """The query in a few words."""
        line = " ".join(self.query.split())
        return line if len(line) <= 40 else f"{line[:37]}..."


def read_sql(_document: Document, value: Any, _path: Path_) -> SqlQuery | None:
    """Read the settings; their mistakes are reported with the stage's, those of the query later."""
    try:
        settings = Sql.model_validate(SHORT.whole(value))
    except (ValueError, ValidationError):
        return None
    return SqlQuery(settings.query, settings.types, settings.memory)


def check_query(document: Document, query: SqlQuery, path: Path_, *, root: Path) -> QueryFields | None:
    """
    Report the mistakes of a query, at its place in the file.

    Args:
        path: The path of `sql` in the document.
        root: The project root.

    Returns:
        The fields that it reads and makes; None if it is wrong.
    """
    if document.failed(path):
        return None
    at = query_path(document, path)
    try:
        return _check(query, root)
    except MissingExtraError as exc:
        document.report_error(path, exc, key=True)
    except SqlError as exc:
        for one in exc.errors:
            _report(document, query, path, at, one)
    return None


def query_path(document: Document, path: Path_) -> Path_:
    """Return where the text of a query is, below `sql` or at it."""
    return (*path, "query") if (*path, "query") in document.values else path


def _report(document: Document, query: SqlQuery, path: Path_, at: Path_, error: SqlError) -> None:
    if error.key:
        document.report((*path, *error.key), error.what, error.fix, key=error.key[0] == "types")
        return
    where = None if error.at is None else place_in(document, at, query.query, error.at)
    document.report(at, error.what, error.fix, at=where, part=f"{error.at}: {error.what}")


def _check(query: SqlQuery, root: Path) -> QueryFields:
    wrong: list[SqlError] = []
    shape: Shape | None = None
    with open_database() as bare:
        statement = parse(bare, query.query)
        try:
            shape = read(bare, query.query)
        except SqlError as exc:
            wrong.append(exc)
        wrong += _wrong_types(bare, query.types)
    files = files_of(statement)
    with open_database(References(root, files).files, query.memory) as database:
        for name in files:
            try:
                References(root, (name,)).refresh(database, only_columns=True)
            except ReferenceError_ as exc:
                named = next(one for one in walk(statement) if one.get("table_name") == name)
                wrong.append(SqlError(exc.what, exc.fix, place(query.query, named)))
        if wrong or shape is None:
            raise SqlErrors(wrong)
        return _fields(query, shape, resolve(database, shape, query.types))


def _fields(query: SqlQuery, shape: Shape, fields: Fields) -> QueryFields:
    taken = (item for item in fields.layout if isinstance(item, OneField))
    reads: dict[str, int | None] = {path[0]: None for path in fields.paths.values()}
    reads |= {item.path[0]: None for item in taken}
    for one in walk(shape.statement):
        names = one["column_names"] if one.get("class") == "COLUMN_REF" else ()
        for name in names[:2]:  # the first may be that of the batch
            if name in reads and reads[name] is None:
                reads[name] = place(query.query, one)
    return QueryFields(reads, fields.layout)


def _wrong_types(bare: DuckDBPyConnection, types: Mapping[str, str]) -> Iterator[SqlError]:
    for name, text in types.items():
        try:
            natural(bare, text)
        except SqlError as exc:
            yield SqlError(exc.what, exc.fix, key=("types", name))
