"""OpenAI's `/v1/files` and `/v1/batches`: many requests in one file, answered in the background."""
