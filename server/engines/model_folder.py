"""Whether a model's folder can be served, checked before an engine starts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from galen.errors import InvalidInput

TEMPLATE = "chat_template.jinja"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json")
_TRAINING_MARK = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""A tag of the transformers library's own, which writes nothing."""

_SPECIAL_TOKENS = {f"{name}_token": "" for name in ("bos", "eos", "pad", "unk", "sep", "cls")}


def check(folder: Path) -> str | None:
    """What a model that can be served cannot do, in one line; None if it can do all.

    `InvalidInput` for a folder that cannot be served at all.
    """
    config = _json(folder / "config.json")
    if config is None:
        raise _unfit(folder, "it holds no config.json; train or copy one there")
    if not any(folder.glob("*.safetensors")):
        raise _unfit(folder, "it holds no .safetensors file; convert its weights to that format")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise _unfit(folder, "it holds no tokenizer; copy the base model's tokenizer.json there")
    rows = (config.get("text_config") or config).get("vocab_size")
    highest = _highest_id(_json(folder / "tokenizer.json") or {})
    if isinstance(rows, int) and highest >= rows:
        raise _unfit(
            folder,
            f"its tokenizer has token ids up to {highest:,}, its embedding only {rows:,} rows; "
            "copy the tokenizer that the model was trained with",
        )
    template = _template(folder)
    if template is None:
        return f"chat is refused: {folder} has no chat template; put the model's {TEMPLATE} there"
    _render(template, folder)
    return None


def _unfit(folder: Path, why: str) -> InvalidInput:
    return InvalidInput(f"no model at {folder}: {why}", param="model")


def _json(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise _unfit(file.parent, f"its {file.name} cannot be read as a JSON object")
    return content


def _highest_id(tokenizer: dict[str, Any]) -> int:
    """The largest token id of a tokenizer.json; -1 if it has none."""
    try:
        vocabulary = tokenizer.get("model", {}).get("vocab", {})
        added = [token["id"] for token in tokenizer.get("added_tokens", ())]
        ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        return max([*added, *ids], default=-1)
    except (AttributeError, KeyError, TypeError):
        return -1


def _render(template: str, folder: Path) -> None:
    """Render a plain question. vLLM does so at its start, and ends if that fails."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise, "strftime_now": str} | _SPECIAL_TOKENS
    given = {"messages": [{"role": "user", "content": "x"}], "tools": None, "documents": None}
    try:
        compiled = environment.from_string(_TRAINING_MARK.sub("", template))
        compiled.render(given, add_generation_prompt=True, enable_thinking=False)
    except TemplateSyntaxError as error:
        why = f"its chat template is broken in line {error.lineno}: {error.message}"
        raise _unfit(folder, why) from None
    except (
        TemplateError,
        TypeError,
        ValueError,
        ArithmeticError,
        LookupError,
        RuntimeError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise _unfit(folder, f"its chat template refuses a plain question: {reason}") from None


def _template(folder: Path) -> str | None:
    """Where transformers looks for it, in its order."""
    try:
        return (folder / TEMPLATE).read_text("utf-8")
    except (OSError, ValueError):
        found = (_json(folder / "tokenizer_config.json") or {}).get("chat_template")
    if isinstance(found, list):
        named = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter `tojson` with transformers' arguments, which Jinja's own lacks."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> None:
    raise TemplateError(message)
