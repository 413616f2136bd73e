"""The rules: each finds one thing in an answer."""
