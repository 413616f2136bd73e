"""A parser for arithmetic in answers: + − * / ^, brackets, percent.

A model's output is never evaluated as code. Length, depth and values are bounded and computed in
floating point, so 9**9**9 or ten thousand brackets cost no more than a wrong answer.
"""

from __future__ import annotations

import math
import re

MAX_CHARS = 400
MAX_DEPTH = 32
_MAX_VALUE = 1e30

NUMBER = (
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3}){1,9}|[0-9]{1,30})(?:\.[0-9]{1,30})?|\.[0-9]{1,30})"
    r"(?:[eE][-+]?[0-9]{1,2})?"
)
"""A number without a sign; thousands may be separated by commas."""

_TOKEN = re.compile(rf"\s*(?:(?P<number>{NUMBER})(?![0-9.]|,[0-9])|(?P<sign>\*\*|[-+*/^()%]))\s*")


class NotArithmetic(ValueError):
    """The text is no arithmetic, or it exceeds the bounds."""


def literal(text: str) -> float:
    """The value of a text that `NUMBER` matches."""
    return _bounded(float(text.replace(",", "")))


def evaluate(text: str) -> float:
    """The value of an expression in ASCII signs. Raises `NotArithmetic`."""
    if len(text) > MAX_CHARS:
        raise NotArithmetic("too long")
    parser = _Parser(_tokens(text))
    value = parser.sum(0)
    parser.expect("")
    return value


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise NotArithmetic(f"unreadable at {at}")
        tokens.append(match["number"] or match["sign"].replace("**", "^"))
        at = match.end()
    return [*tokens, ""]


class _Parser:
    """Recursive descent; each level of the grammar is a method, `depth` counts the nesting."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def expect(self, token: str) -> None:
        if self._take() != token:
            raise NotArithmetic(f"{token or 'end'} expected")

    def sum(self, depth: int) -> float:
        value = self._product(depth)
        while self._next in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            value = _bounded(value + sign * self._product(depth))
        return value

    def _product(self, depth: int) -> float:
        value = self._signed(depth)
        while self._next in ("*", "/"):
            if self._take() == "*":
                value = _bounded(value * self._signed(depth))
            else:
                value = _quotient(value, self._signed(depth))
        return value

    def _signed(self, depth: int) -> float:
        sign = 1.0
        while self._next in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        return sign * self._power(depth)

    def _power(self, depth: int) -> float:
        if depth > MAX_DEPTH:
            raise NotArithmetic("nested too deeply")
        base = self._percent(depth)
        if self._next != "^":
            return base
        self._take()
        sign = -1.0 if self._next == "-" else 1.0
        if self._next in ("+", "-"):
            self._take()
        return _power(base, sign * self._power(depth + 1))

    def _percent(self, depth: int) -> float:
        value = self._atom(depth)
        while self._next == "%":
            self._take()
            value /= 100
        return value

    def _atom(self, depth: int) -> float:
        token = self._take()
        if token == "(":
            value = self.sum(depth + 1)
            self.expect(")")
            return value
        if not token or token in "+-*/^)%":
            raise NotArithmetic("a number is missing")
        return literal(token)


def _quotient(value: float, by: float) -> float:
    if by == 0:
        raise NotArithmetic("division by zero")
    return _bounded(value / by)


def _power(base: float, exponent: float) -> float:
    try:
        return _bounded(math.pow(base, exponent))
    except (OverflowError, ValueError):
        raise NotArithmetic("a power out of bounds") from None


def _bounded(value: float) -> float:
    if not abs(value) <= _MAX_VALUE:
        raise NotArithmetic("a value out of bounds")
    return value
