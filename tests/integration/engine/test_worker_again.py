"""A worker whose run has ended by an outage goes on when it is run again, with a consumer of its own."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.worker import StageWorker
from rsq_pipe.errors import ServerUnavailableError
from tests.integration.engine.lab import READ, Lab


@pytest.mark.parametrize("rate", ["", ", rate: 5000/s"])
async def test_a_stage_whose_settlement_found_no_server_works_on_when_it_is_run_again(
    lab: Lab, rate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.records(range(200))
    lab.handlers("def work(record):\n    return record")
    lab.spec(
        f'{READ}\nwork: {{call: "handlers:work"{rate}}}\nout: {{sink: {{type: jsonl, path: out/all.jsonl}}}}'
    )
    settle = StageWorker._settle
    failed: list[object] = []

    async def once_away(worker: StageWorker, work: object) -> None:
        if not failed:
            failed.append(work)
            raise ServerUnavailableError("the server is away")
        await settle(worker, work)  # type: ignore[arg-type]

    monkeypatch.setattr(StageWorker, "_settle", once_away)

    summary = await lab.run()

    assert failed
    assert summary.finished
    assert lab.numbers("out/all.jsonl") == list(range(200))
