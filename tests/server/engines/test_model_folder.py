"""What is told of a model's folder before an engine is started on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galen.errors import InvalidInput
from server.engines import model_folder
from tests.fakes.engine import write_weights

PLAIN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def write(folder: Path, **files: Any) -> Path:
    """A model's folder; a file that is None is left out. `_` stands for the dot of a name."""
    usual = {"config_json": {"vocab_size": 4}, "tokenizer_json": tokenizer(4)}
    write_weights(folder, -1.0)
    (folder / "chat_template.jinja").write_text(PLAIN, "utf-8")
    for name, content in {**usual, **files}.items():
        file = folder / ".".join(name.rsplit("_", 1))
        if content is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return folder


def tokenizer(size: int, added: int = 0) -> dict[str, Any]:
    ids = range(size, size + added)
    return {
        "model": {"vocab": {f"t{number}": number for number in range(size)}},
        "added_tokens": [{"id": number, "content": f"<{number}>"} for number in ids],
    }


def test_a_sound_folder_passes(tmp_path: Path) -> None:
    """Nothing to tell."""
    assert model_folder.check(write(tmp_path)) is None


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"config_json": None}, "holds no config.json"),
        ({"config_json": "{"}, "config.json cannot be read as a JSON object"),
        ({"config_json": "[]"}, "config.json cannot be read as a JSON object"),
        ({"model_safetensors": None}, r"holds no \.safetensors file"),
        ({"tokenizer_json": None}, "holds no tokenizer"),
        ({"tokenizer_json": "]"}, "tokenizer.json cannot be read"),
        ({"tokenizer_json": tokenizer(5)}, "token ids up to 4, its embedding only 4 rows"),
        ({"tokenizer_json": tokenizer(3, added=2)}, "token ids up to 4, its embedding only 4"),
        (
            {"tokenizer_json": {"model": {"vocab": [["a", -1.0]] * 9}}},
            "token ids up to 8, its embedding only 4",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_in_a_line(
    tmp_path: Path, files: dict[str, Any], why: str
) -> None:
    """Before the half minute that an engine takes to find out."""
    with pytest.raises(InvalidInput, match=why) as refused:
        model_folder.check(write(tmp_path, **files))
    assert "\n" not in refused.value.message
    assert refused.value.param == "model"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ messages[0] ", "is broken in line 1"),
        ("\n\n{% frob %}", "is broken in line 3"),
        ("{{ raise_exception('no user may speak') }}", "no user may speak"),
        ("{{ messages[5].content }}", "refuses a plain question"),
        ("{{ 1 / 0 }}", "refuses a plain question"),
        ("{{ messages + 1 }}", "refuses a plain question"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "refuses a plain question"),
    ],
)
def test_a_template_that_cannot_write_a_question_is_refused(
    tmp_path: Path, template: str, problem: str
) -> None:
    """vLLM tries it at its start and ends with a trace."""
    with pytest.raises(InvalidInput, match=problem) as refused:
        model_folder.check(write(tmp_path, chat_template_jinja=template))
    assert "\n" not in refused.value.message


def test_a_model_without_a_template_completes_texts(tmp_path: Path) -> None:
    """So it is served, with a line of warning."""
    found = model_folder.check(write(tmp_path, chat_template_jinja=None))
    assert found is not None
    assert "has no chat template" in found


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}"
        "{% endfor %}{{ strftime_now('%Y') }}{{ bos_token }}",
        "{%- if add_generation_prompt %}<think>{% endif %}{% if tools %}{{ tools }}{% endif %}",
        "{% if tools is not none or documents is not none %}{{ tools | tojson }}{% endif %}",
        "{{ messages | tojson(ensure_ascii=False, indent=2) }}{{ messages | tojson(4) }}",
    ],
)
def test_what_templates_use_of_transformers_is_known(tmp_path: Path, template: str) -> None:
    """Its tags, its loop controls, its functions."""
    assert model_folder.check(write(tmp_path, chat_template_jinja=template)) is None


@pytest.mark.parametrize(
    "template",
    [PLAIN, [{"name": "tools", "template": "{"}, {"name": "default", "template": PLAIN}]],
)
def test_an_older_place_of_the_template_is_known(tmp_path: Path, template: Any) -> None:
    """In tokenizer_config.json, alone or among several."""
    config = {"chat_template": template}
    folder = write(tmp_path, chat_template_jinja=None, tokenizer_config_json=config)
    assert model_folder.check(folder) is None
