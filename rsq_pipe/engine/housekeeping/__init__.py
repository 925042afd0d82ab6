"""What is done for the whole pipeline beside its batches."""
