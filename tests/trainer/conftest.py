"""A toy policy for the trainer's tests, and one thread for torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.fakes.rollouts import write_toy


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tensors this small only lose by sharing them out."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Qwen3 of two layers; read it, never write to it."""
    return write_toy(tmp_path_factory.mktemp("toy") / "model")
