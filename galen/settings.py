"""YAML files read into frozen pydantic models. Unknown fields are refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from galen.errors import RecipeError
from galen.plain_words import in_yaml


class Settings(BaseModel):
    """Base of every configuration model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Origin = Annotated[str, Field(pattern=r"^https?://[^\s/?#@*]+$")]
"""The origin of pages, as a browser sends it: scheme, host and port, and nothing after it."""

S = TypeVar("S", bound=BaseModel)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a mapping; anything else is a `RecipeError` that names the line."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise RecipeError(f"{path}: is a folder; name the YAML file in it") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise RecipeError(f"{path}: nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{path}: not valid YAML{where}") from None
    except ValueError as error:  # a value that looks like a date or a number, and is none
        raise RecipeError(f"{path}: a value cannot be read: {error}") from None
    if not isinstance(loaded, dict):
        raise RecipeError(f"{path}: expected a mapping of fields, found {type(loaded).__name__}")
    return loaded


def apply_overrides(fields: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply `a.b=value` strings, the value read as YAML; `fields` is not changed."""
    result = _copied(fields)
    for override in overrides:
        name, equals, raw = override.partition("=")
        if not equals or not name.strip():
            raise RecipeError(f"--set {override!r}: write it as field=value")
        *parents, last = name.strip().split(".")
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise RecipeError(f"--set {override!r}: {parent!r} has no fields of its own")
        try:
            target[last] = yaml.safe_load(raw)
        except (yaml.YAMLError, ValueError):
            raise RecipeError(f"--set {override!r}: the value is not valid YAML") from None
    return result


def validated(model: type[S], fields: Mapping[str, Any], where: str) -> S:
    """The model made from `fields`; on failure every wrong field is named, one a line."""
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, problem['loc'])) or '(top)'}: {in_yaml(problem, model)}"
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise RecipeError(f"{where}: {len(lines)} problem(s)\n" + "\n".join(lines)) from None


def _copied(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in fields.items()}
