"""A source that cannot be read any further says so at once, though other sources keep the run going."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from rsq_pipe.errors import SourceError
from rsq_pipe.ops.status import read_status
from tests.integration.engine.lab import Lab
from tests.support.signals import wait_until

TOLD = "a source is not read any further; the run ends with this error once the others have ended"


async def test_a_source_that_failed_for_good_is_told_at_once_beside_one_that_goes_on(lab: Lab) -> None:
    (lab.root / "bad.jsonl.gz").write_bytes(b"no gzip")
    lab.spec(
        f"""
        bad: {{source: {{type: jsonl, path: bad.jsonl.gz}}}}
        live: {{source: {{type: stream, stream: "{lab.pipeline}-live"}}}}
        out: {{from: [bad, live], sink: {{type: jsonl, path: out/all.jsonl}}}}
        """
    )

    async def told() -> str:
        paused = (await read_status(lab.client, lab.graph)).stages[0].paused
        return paused.why if paused else ""

    with capture_logs() as logs:
        run = await lab.up()
        why = await wait_until(told, what="status tells")
        with pytest.raises(SourceError, match=r"bad\.jsonl\.gz"):
            await run.stop()

    assert why.startswith("not read any further: file bad.jsonl.gz cannot be read")
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["event"] == TOLD
    assert line["stage"] == "bad"
    status = await read_status(lab.client, lab.graph)
    assert status.stages[0].paused is None
    assert status.failed is not None
