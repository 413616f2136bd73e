"""What an operator sets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from judge.settings import JudgeSettings, TeacherSettings


def test_the_environment_wins_over_the_file() -> None:
    """Each variable that is set replaces its field; a blank one does not."""
    given = TeacherSettings(base_url="http://file", model="file")
    assert given.with_environment({}) == given
    assert given.with_environment({"JUDGE_MODEL": " ", "JUDGE_BASE_URL": "http://env"}) == (
        TeacherSettings(base_url="http://env", model="file")
    )


def test_the_default_bind_is_loopback() -> None:
    """Out of the box nobody else can reach the judge."""
    assert JudgeSettings().host == "127.0.0.1"


def test_a_misspelt_setting_is_refused() -> None:
    """A typo never passes silently."""
    with pytest.raises(ValidationError, match="databse_url"):
        JudgeSettings.model_validate({"databse_url": "sqlite://"})
