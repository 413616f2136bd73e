"""The training stages, one file for each algorithm."""
