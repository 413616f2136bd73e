"""The simple engine: part of vLLM's HTTP API on transformers, for machines without vLLM."""
