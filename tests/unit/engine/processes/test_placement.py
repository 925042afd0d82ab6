"""Which of several processes leave a source or a sink to another at first."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.processes.placement import left_to_others


def owners(sources: int, sinks: int, processes: int) -> list[set[str]]:
    """What each process takes at once."""
    reads, writes = [f"source{n}" for n in range(sources)], [f"sink{n}" for n in range(sinks)]
    return [
        {*reads, *writes} - {*left_to_others(reads, writes, number, processes)} for number in range(processes)
    ]


def test_a_process_that_is_alone_leaves_nothing_to_others() -> None:
    assert owners(1, 3, 1) == [{"source0", "sink0", "sink1", "sink2"}]


def test_of_two_processes_one_reads_and_the_other_writes() -> None:
    assert owners(1, 3, 2) == [{"source0"}, {"sink0", "sink1", "sink2"}]


def test_sinks_are_shared_by_all_that_do_not_read() -> None:
    assert owners(1, 3, 3) == [{"source0"}, {"sink0", "sink2"}, {"sink1"}]


def test_where_all_processes_read_they_all_write() -> None:
    assert owners(2, 2, 2) == [{"source0", "sink0"}, {"source1", "sink1"}]


@pytest.mark.parametrize("sources", range(4))
@pytest.mark.parametrize("sinks", range(4))
@pytest.mark.parametrize("processes", range(1, 5))
def test_each_source_and_each_sink_is_taken_at_once_by_one_process(
    sources: int, sinks: int, processes: int
) -> None:
    taken = owners(sources, sinks, processes)

    assert sum(map(len, taken)) == sources + sinks == len(set[str]().union(*taken))
