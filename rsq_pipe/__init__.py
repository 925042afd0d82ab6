"""rsq-pipe: declarative pipelines on Redis Streams."""
