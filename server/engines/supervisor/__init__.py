"""Starts, watches and ends the engine of this machine."""
