"""The `dlq` commands, one per file, and what they share."""
