"""Windows: when they close, and how the contents of their groups are sent on."""
