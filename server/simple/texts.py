"""The text of a message's content, in the two APIs that are translated to chat."""

from __future__ import annotations

from typing import Any

from server.simple.errors import wrong


def text_of(where: str, content: Any) -> str:
    """A string as it is; parts of text each on a line of its own. Raises `BadRequest` for what is
    neither, with `where` as the field at fault."""
    if isinstance(content, str):
        return content
    texts = []
    for part in content if isinstance(content, list) else [None]:
        text = part.get("text") if isinstance(part, dict) else None
        if not isinstance(text, str):
            raise wrong(where, "only parts of text are taken")
        texts.append(text)
    return "\n".join(texts)
