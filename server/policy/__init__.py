"""Which version serves, on which engines, and how another takes its place."""
