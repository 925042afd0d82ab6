"""Fields behind: the fields that records are known to have behind each stage."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.spec.csv_header import columns
from rsq_pipe.spec.graph import Graph, StreamRef
from rsq_pipe.spec.known_fields import Known, sent_on, together


def fields_behind(graph: Graph) -> Mapping[str, Known | None]:
    """
    Tell of each stage what is known of the records that leave it; None where nothing is.

    Known from csv headers, as far as the files are there, `validate`, `select` and what stands between.
    """
    known: dict[StreamRef, Known | None] = {}
    found: dict[str, Known | None] = {}
    for stage in graph.stages:
        here = together([known.get(ref) for ref in stage.inputs])
        if stage.verb == "source":
            header = columns(stage.options.options, graph.root) if stage.options.type == "csv" else None
            behind = header.known if header else None
        elif stage.verb == "sink":
            behind = here
        else:
            behind = sent_on(stage, here)
        found[stage.name] = behind
        known[stage.dlq] = here
        for port, ref in stage.outputs.items():
            known[ref] = None if ref.external else here if stage.verb == "aggregate" and port else behind
    return found
