"""Windows: when they close, and how what their groups hold is sent on."""
