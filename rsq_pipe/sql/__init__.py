"""SQL over batches, by DuckDB: the query as a tree, what of it a batch allows, and the tables beside it."""
