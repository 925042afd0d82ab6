"""The engine: one loop that reads batches, processes them, plans the results, and settles them."""
