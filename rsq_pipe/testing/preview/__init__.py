"""Preview: the first records of a pipeline, before and after each of its stages, without a server."""
