"""How policies are measured and compared."""
