"""What runs inside vLLM: how it reads reasoning, how it takes other weights."""
