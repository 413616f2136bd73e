"""One file a step; each can be undone."""
