"""How a run deals with the runs before it: a changed file, what the last one left, a fresh start."""
