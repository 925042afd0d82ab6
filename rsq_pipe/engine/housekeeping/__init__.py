"""What is done for the whole pipeline, apart from its batches."""
