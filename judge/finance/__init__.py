"""Amounts, arithmetic and stated answers, and when two are equal."""
