"""Encoding: records as bytes, in the pipeline's own form and in that of others."""
