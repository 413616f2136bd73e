"""One script for each claim; RESULTS.md holds the measurements."""
