"""Sources: what they bring, moved into the pipeline with their position."""
