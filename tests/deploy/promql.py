"""What a PromQL expression speaks of: metrics and labels, as far as ours are written."""

from __future__ import annotations

import re

_SELECTOR = re.compile(r"\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|without|on)\s*\(([^)]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_NAME = re.compile(r"(?<![\w:$])([a-zA-Z_:][a-zA-Z0-9_:]*)(?!\s*\()(?![\w:])")
_LABEL = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")


def metrics_of(expression: str) -> set[str]:
    """The names of the series that an expression reads."""
    bare = _RANGE.sub("", _GROUPING.sub("", _SELECTOR.sub("", expression)))
    return set(_NAME.findall(bare))


def labels_of(expression: str) -> set[str]:
    """The labels by which an expression chooses or groups."""
    chosen = {label for inside in _SELECTOR.findall(expression) for label in _LABEL.findall(inside)}
    groups = {
        label.strip() for inside in _GROUPING.findall(expression) for label in inside.split(",")
    }
    return chosen | groups
