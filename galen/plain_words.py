"""What pydantic finds wrong in a YAML file, in words for people who know no Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

_WORDS = {
    "missing": "is missing; add it",
    "too_short": "too few; at least {min_length} must be given",
    "too_long": "too many; at most {max_length} may be given",
    "string_too_short": "too short; it must have characters: {min_length} at least",
    "string_too_long": "too long; it may have {max_length} characters at most",
    "string_type": "must be a text, in quotes if it looks like anything else",
    "string_pattern_mismatch": "blank, or not of the form {pattern}",
    "path_type": "must be a path",
    "dict_type": "must be a mapping of fields",
    "model_type": "must be a mapping of fields",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "date_type": "must be a date: YYYY-MM-DD",
    "date_from_datetime_parsing": "must be a date: YYYY-MM-DD",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "value_error": "{error}",
}


def in_yaml(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    """What is wrong in a field for `model`; for an unknown one, the field probably meant."""
    if problem["type"] == "extra_forbidden":
        return f"unknown here; {_instead(model, problem['loc'])}"
    plain = _WORDS.get(problem["type"])
    if plain is None:
        return str(problem["msg"])
    whole = {name: int(value) if isinstance(value, float) and value.is_integer() else value
             for name, value in problem.get("ctx", {}).items()}  # fmt: skip
    return plain.format_map(whole)


def _instead(model: type[BaseModel], place: Sequence[str | int]) -> str:
    """The field probably meant at `place`: one with a similar name, or one of this name a level
    below."""
    *above, name = map(str, place)
    models = [model]
    for part in above:  # a part that is no field is a number in a list or a key of a mapping
        models = _fields(models).get(part) or models
    known = _fields(models)
    below = [field for field, inner in known.items() if name in _fields(inner)]
    meant = get_close_matches(name, known, n=1) or [f"{field}.{name}" for field in below]
    if not meant:
        return f"there are {', '.join(known)}"
    return f"did you mean {' or '.join('.'.join([*above, field]) for field in meant)}?"


def _fields(models: Sequence[type[BaseModel]]) -> dict[str, list[type[BaseModel]]]:
    """Every field of `models`, with the models that may stand in it."""
    return {
        name: _models_in(field.annotation)
        for model in models
        for name, field in model.model_fields.items()
    }


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
