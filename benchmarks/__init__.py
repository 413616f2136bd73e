"""One script a claim; what they measured stands in RESULTS.md."""
