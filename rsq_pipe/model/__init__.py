"""Plain data that the stages hand to each other: batches, outcomes, packs. No I/O."""
