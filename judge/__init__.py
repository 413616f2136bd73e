"""Completions to rewards: the judge."""
