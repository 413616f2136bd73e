"""A request's way to an engine, and its answer's way back."""
