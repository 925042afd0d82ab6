"""Sources: move records into the pipeline, together with the position read up to."""
