"""A stage with a query, for the tests of `sql`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio

from rsq_pipe.spec.stages.sql import SqlQuery
from rsq_pipe.sql.database import MEMORY
from rsq_pipe.verbs.sql import Sql
from tests.unit.verbs.given import stage
from tests.unit.verbs.sql.querying import AIRLINES


@pytest_asyncio.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Callable[..., Sql]]:
    """Make verbs; they are closed afterwards."""
    (tmp_path / "airlines.csv").write_text(AIRLINES)
    async with AsyncExitStack() as stack:

        def make(query: str, timeout: float = 30.0, memory: int = MEMORY, **types: str) -> Sql:
            of = SqlQuery(query, {name.replace("__", "."): of for name, of in types.items()}, memory)
            verb = Sql(stage("calc", "sql", of, timeout=timeout), tmp_path)
            stack.push_async_callback(verb.close)
            return verb

        yield make
