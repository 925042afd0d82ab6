"""Windows: groups of records over time, for aggregate and join."""
