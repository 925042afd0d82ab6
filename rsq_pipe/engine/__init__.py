"""The engine: one loop that reads batches, processes them, plans what becomes of them, and settles that."""
