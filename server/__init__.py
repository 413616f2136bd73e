"""Prompts to completions: the policy server."""
