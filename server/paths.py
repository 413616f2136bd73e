"""The engine's routes that clients reach, by name."""

from __future__ import annotations

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES = "/v1/responses"
MESSAGES, COUNT_TOKENS = "/v1/messages", "/v1/messages/count_tokens"
TOKENIZE, DETOKENIZE = "/tokenize", "/detokenize"
WITHOUT_ENGINE_STEP = (COUNT_TOKENS, TOKENIZE, DETOKENIZE)
"""They need the tokenizer alone, so they take no place in the engine's batch."""
PASSED_ON = (CHAT, COMPLETIONS, RESPONSES, MESSAGES, COUNT_TOKENS, TOKENIZE, DETOKENIZE)
