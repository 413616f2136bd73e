"""What real clients make of the server: OpenAI's and Anthropic's SDKs and curl, with keys on.

A package, so that all files in it share one server for each engine.
"""
