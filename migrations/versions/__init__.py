"""One file for each migration; each can be undone."""
