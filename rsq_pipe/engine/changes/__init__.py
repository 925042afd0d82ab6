"""What a run does about the runs before it: a changed file, what the last one left, a start from nothing."""
