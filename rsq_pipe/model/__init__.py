"""Plain data that stages pass to each other: batches, outcomes, packs. No I/O."""
