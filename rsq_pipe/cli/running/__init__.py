"""Running: what `rsq-pipe run` does around the run of a pipeline."""
