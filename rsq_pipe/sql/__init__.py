"""SQL over batches, by DuckDB: the query as a tree, what a batch allows in it, and the tables it joins."""
