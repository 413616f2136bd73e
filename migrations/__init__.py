"""The judge's database schema, step by step."""
