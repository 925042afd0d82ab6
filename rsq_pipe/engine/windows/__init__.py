"""Windows: when they close, and how the results of their groups are emitted."""
