"""Laws of sources: each is one small file, and brings rows from a hub or from a local file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galen.errors import InvalidInput, NotFound, RecipeError
from galen.settings import validated
from tests.fakes.hub import FakeHub, serving
from trainer.data import sources
from trainer.data.example import Example, Message
from trainer.data.reader import DataFile
from trainer.data.sources import Source

THOUGHT = "<think>\nt\n</think>\n\na"
ROWS: dict[str, dict[str, Any]] = {
    "medical-o1": {"Question": "q", "Complex_CoT": "t", "Response": "a"},
    "medical-o1-en": {"Question": "q", "Complex_CoT": "t", "Response": "a"},
    "delicate-medical": {"instruction": "old", "question": "q", "think": "t", "answer": "a"},
    "huatuo-sharegpt": {
        "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": THOUGHT}]
    },
    "shibing-medical": {"instruction": "q", "input": "", "output": THOUGHT},
    "datatang-qa": {"question": "q", "answer": THOUGHT},
    "dianjin-r1": {"instruction": "q", "output": THOUGHT},
}


@pytest.mark.parametrize("name", sorted(set(sources.names()) - {"dpo-en-zh"}))
def test_a_sources_rows_are_questions_and_answers(name: str, tmp_path: Path) -> None:
    """The thought stands before the answer, whatever the columns are called."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS[name]), "utf-8")
    ((_, example),) = DataFile(path, sources.get(name).reader()).examples("conversation")
    assert isinstance(example, Example)
    assert example.messages == (Message("user", "q"), Message("assistant", THOUGHT))


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_a_source_is_downloaded_by_its_name(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files alone, and once."""
    monkeypatch.chdir(tmp_path)
    source = sources.get("delicate-medical")
    files = {"train.jsonl": json.dumps(ROWS["delicate-medical"]).encode(), "model.bin": b"no"}
    with serving(FakeHub({str(source.huggingface): files})) as fake:
        (path,) = source.download(hub, fake.url)
        assert path == Path("data/hub/delicate-medical/train.jsonl")
        assert path.read_bytes() == files["train.jsonl"]
        assert not any("model.bin" in asked for asked in fake.asked if "resolve" in asked)


def test_a_source_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of ours, a hub that does not have it, a repository without such files."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match="did you mean 'medical-o1'"):
        sources.get("medical-01")
    with pytest.raises(InvalidInput, match="is not at Hugging Face; set `hub: modelscope`"):
        sources.get("datatang-qa").download("huggingface")
    source = sources.get("delicate-medical")
    with (
        serving(FakeHub({str(source.huggingface): {"README.md": b"x"}})) as fake,
        pytest.raises(NotFound, match=r"holds no file of .*; give a local file as `path`"),
    ):
        source.download("huggingface", fake.url)


def test_a_source_of_an_unknown_format_is_refused() -> None:
    """With the formats that there are."""
    fields = {"name": "n", "title": "t", "licence": "MIT", "files": ["*"], "format": "csv"}
    with pytest.raises(RecipeError, match="format 'csv' is none of preference"):
        validated(Source, fields, "n.yaml")
