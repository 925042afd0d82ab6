"""Shards of a source are shared out evenly, each to one reader, whoever asks."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.sources.shared_source_worker import share


@pytest.mark.parametrize(("shards", "readers"), [(0, 1), (1, 3), (4, 2), (7, 3), (12, 12)])
def test_each_shard_is_one_readers_and_all_have_as_many(shards: int, readers: int) -> None:
    names = [f"orders/{number}" for number in range(shards)]
    known = [f"run_{number}" for number in range(readers)]

    shares = [share(names, known[::-1], own) for own in known]

    assert sorted(shard for one in shares for shard in one) == sorted(names)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
