"""`rsq-pipe dev`: a pipeline that runs while it is written, a process for each module of handlers."""
