"""
The engine: one loop that reads batches, processes them, plans the results, and settles them.

The files here are the way of a batch and the run. `worker` shows a batch's way: `intake` reads it, `packing`
turns entries into records and back, `links` builds the `chain` of fused stages, `planner` decides what is
settled, as a `plan`. A worker waits for room below (`backlog`) and for its `rate_limiter`. `runner` begins
and ends a run, `roles` makes its workers, `process` holds what they share, `summary` says what they did,
and `keyspace` names all keys.

The packages, each with what it is about in its first line: `sources`, `sinks` and `windows` are the other
workers; `encoding`, `failures`, `pauses`, `ownership` and `state` serve them all; `changes`, `housekeeping`
and `processes` are about the whole pipeline.
"""
