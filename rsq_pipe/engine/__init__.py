"""The engine: one loop that reads batches, has them processed, plans what becomes of them, and settles it."""
