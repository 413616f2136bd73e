"""The training stages, one algorithm a file."""
