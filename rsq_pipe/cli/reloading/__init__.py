"""`rsq-pipe dev`: run a pipeline while it is written, with one process per module of handlers."""
