"""What runs inside vLLM: the reasoning parser, and the reload of weights."""
