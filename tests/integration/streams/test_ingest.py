"""Records from a source and its position are stored in one step, once."""

from __future__ import annotations

import pytest

from rsq_pipe.errors import ServerUnavailableError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.settlement import (
    Output,
    Position,
)
from tests.support.consumers import numbers_in
from tests.support.proxy import Proxy


@pytest.fixture
def position(name: str) -> Position:
    return Position(f"{{{name}}}:meta", "orders.jsonl", "", "100")


async def test_records_and_position_are_stored_in_one_step_once(
    client: StreamClient, position: Position, output: str
) -> None:
    outputs = [Output(output, ["data", b'{"n":%d}' % n]) for n in range(5)]
    await client.ingest(position, outputs)

    again = await client.ingest(position, outputs)

    assert (again.refused, len(again.committed)) == (None, 1)
    assert await numbers_in(client, output) == list(range(5))


async def test_an_ingest_from_a_position_that_moved_is_refused_with_where_it_stands(
    client: StreamClient, position: Position, output: str
) -> None:
    await client.ingest(position, [Output(output, ["data", b'{"n":0}'])])
    beside = Position(position.key, position.field, "", "70")

    late = await client.ingest(beside, [Output(output, ["data", b'{"n":0}'])])

    assert (late.refused, late.committed) == ("100", ())
    assert await client.stream_len(output) == 1


async def test_an_ingest_whose_reply_is_lost_neither_loses_nor_doubles(
    client: StreamClient, through_proxy: StreamClient, proxy: Proxy, position: Position, output: str
) -> None:
    outputs = [Output(output, ["data", b'{"n":%d}' % n]) for n in range(5)]
    await through_proxy.ingest(Position(position.key, "other", "", "1"), [])
    proxy.drop_reply_to(b"EVALSHA")

    with pytest.raises(ServerUnavailableError):
        await through_proxy.ingest(position, outputs)
    again = await through_proxy.ingest(position, outputs)

    assert again.refused is None
    assert await numbers_in(client, output) == list(range(5))
