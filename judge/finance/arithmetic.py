"""A parser for arithmetic in answers: + − * / ^, brackets, percent.

A model's output is never evaluated as code. Length, depth and values are bounded and computed in
floating point, so 9**9**9 or ten thousand brackets cost no more than a wrong answer.
"""

from __future__ import annotations

import ast
import math
import operator as op
import re
from collections.abc import Callable, Mapping

MAX_CHARS = 400
MAX_DEPTH = 190
_MAX_VALUE = 1e30

NUMBER = (
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3}){1,9}|[0-9]{1,30})(?:\.[0-9]{1,30})?|\.[0-9]{1,30})"
    r"(?:[eE][-+]?[0-9]{1,2})?"
)
"""A number without a sign; thousands may be separated by commas."""

_TOKENS = re.compile(rf"(?:\s*(?:(?:{NUMBER})(?![0-9.]|,[0-9])|\*\*|[-+*/^()%]))+\s*")
_ODD = re.compile(r"//|\)\s*\(|\)\s*%.*\^")
_PERCENT = re.compile(rf"(?:({NUMBER})|\))\s*((?:%\s*)+)")


class NotArithmetic(ValueError):
    """The text is no arithmetic, or it exceeds the bounds."""


def literal(text: str) -> float:
    """The value of a text that `NUMBER` matches."""
    return _bounded(float(text.replace(",", "")))


def evaluate(text: str) -> float:
    """The value of an expression in ASCII signs. Raises `NotArithmetic`.

    Python's parser makes the tree; only these few nodes of it are computed, none is run.
    """
    if (
        len(text) > MAX_CHARS
        or not _TOKENS.fullmatch(text)
        or re.search(r"//|\)\s*\(|\)\s*%.*\^", text)
    ):
        raise NotArithmetic("too long, or no arithmetic")
    plain = re.sub(NUMBER, lambda found: repr(literal(found.group())), text.replace("^", "**"))
    plain = _PERCENT.sub(_as_quotient, plain)
    try:
        return _value(ast.parse(plain.strip(), mode="eval").body, 0)
    except (SyntaxError, MemoryError, RecursionError):
        raise NotArithmetic("not well formed") from None


def _as_quotient(found: re.Match[str]) -> str:
    hundredths = "/100.0" * found[2].count("%")
    return f"({found[1]}{hundredths})" if found[1] else f"){hundredths}"


def _value(node: ast.expr, depth: int) -> float:
    if depth > MAX_DEPTH:
        raise NotArithmetic("nested too deeply")
    match node:
        case ast.Constant(value=float(value)):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            value = _value(operand, depth + 1)
            return -value if isinstance(sign, ast.USub) else value
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            compute = _OPERATORS[type(operator)]
            return _bounded(compute(_value(left, depth + 1), _value(right, depth + 1)))
    raise NotArithmetic("a number is missing")


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


_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    **{ast.Add: op.add, ast.Sub: op.sub, ast.Mult: op.mul},
    **{ast.Div: _quotient, ast.Pow: _power},
}
