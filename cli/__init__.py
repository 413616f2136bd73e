"""The command `galen`."""
