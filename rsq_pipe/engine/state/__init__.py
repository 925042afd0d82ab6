"""State: what a pipeline holds on its server, and the notes that its processes leave there."""
