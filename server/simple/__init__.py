"""The simple engine: vLLM's HTTP surface on transformers alone, for machines without vLLM."""
