"""What an operator may set for the judge. Secrets come from the environment only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator

from galen.settings import Origin, Settings
from judge.examination_schemas import Thresholds
from judge.teacher.prices import ModelPrice
from judge.teacher.profiles import Profile, ProfileName

KEY_VARIABLE = "DEEPSEEK_API_KEY"


class TeacherSettings(Settings):
    """Any OpenAI-compatible endpoint. Without a key and without an endpoint of one's own the judge
    runs its mock and says so.

    `JUDGE_BASE_URL` and `JUDGE_MODEL` in the environment override the file; the key comes from
    the environment alone: from `DEEPSEEK_API_KEY`, or `key_variable`.
    """

    base_url: str = "https://api.deepseek.com"
    model: str = "deepseek-flash"
    deadline_s: float = Field(default=60.0, gt=0)
    """Seconds for one judgement, retries included."""
    concurrency: int = Field(default=16, ge=1)
    """Most calls at once. The judge makes fewer while the endpoint answers 429 or 503."""
    queue: int = Field(default=4096, ge=1)
    """Most judgements that may wait for a call; a request beyond that gets 429."""
    breaker_failures: int | None = Field(default=None, ge=1)
    """Failures in a row that open the circuit breaker. None means twice `concurrency`, at least 20:
    so many may fail while a burst of refusals halves the calls at once down to one."""
    breaker_rest_s: float = Field(default=15.0, gt=0)
    """Seconds that the breaker stays open; then a single call tries the endpoint."""
    max_tokens: int = Field(default=800, ge=64)
    profile: ProfileName | None = None
    """How the endpoint is asked; None goes by its host and model."""
    request: Profile | None = None
    """A profile of one's own, in place of `profile`."""
    calls_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Bounds of an account: prompt and longest reply, by a token for each 1.6 characters."""
    price: ModelPrice | None = None
    """The price of a model that `judge/teacher/prices.yaml` lacks; noughts where it is free."""
    key_variable: str = Field(default=KEY_VARIABLE, pattern=r"^[A-Z][A-Z0-9_]*$")
    """The environment variable that holds this endpoint's key."""
    epoch: str = ""
    """Change it when the model behind the same name has changed; older verdicts are then unused."""

    def with_environment(self, environment: Mapping[str, str]) -> TeacherSettings:
        """A copy with the environment's overrides; a blank variable counts as unset."""
        given = {"base_url": "JUDGE_BASE_URL", "model": "JUDGE_MODEL"}
        update = {
            field: value
            for field, variable in given.items()
            if (value := environment.get(variable, "").strip())
        }
        return self.model_copy(update=update)


class BudgetSettings(Settings):
    """Caps in US dollars on what a paid teacher may cost; None means no cap.

    A call that might exceed one is not made: its item fails with `budget_exceeded`.
    """

    per_run_usd: float | None = Field(default=10.0, ge=0)
    per_day_usd: float | None = Field(default=25.0, ge=0)
    """For all runs and requests together; days are in UTC."""

    @property
    def is_capped(self) -> bool:
        return self.per_run_usd is not None or self.per_day_usd is not None


class JudgeSettings(Settings):
    host: str = "127.0.0.1"
    port: int = Field(default=8001, ge=1, le=65535)
    database_url: str = "sqlite:///.galen/judge.sqlite3"
    """SQLAlchemy URL; `postgresql+psycopg://…` when several judges share one ledger."""
    rubrics: Path | None = None
    """A folder of further rubrics beside the shipped ones."""
    keys_file: Path | None = None
    origins: tuple[Origin, ...] = ()
    """Origins of pages that may call the judge from a browser; without any, only its own may."""
    body_limit: int = Field(default=8 * 1024 * 1024, ge=1024)
    """Bytes."""
    lease_s: float = Field(default=10.0, ge=1, le=600)
    """Seconds. After a judge is killed, others wait at most this long for its open questions."""
    readers: int = Field(default_factory=lambda: min(os.cpu_count() or 1, 8), ge=0, le=64)
    """Worker processes that apply the rules; 0 applies them on a thread of the judge."""
    teacher: TeacherSettings = TeacherSettings()
    panel: tuple[TeacherSettings, ...] = ()
    """Two teachers or more that judge together, in place of `teacher`."""
    budget: BudgetSettings = BudgetSettings()
    keep_days: int | None = Field(default=None, ge=1)
    """Texts of prompts and answers are erased after so many days; None keeps them."""
    qualification: Thresholds = Thresholds()

    @field_validator("panel")
    @classmethod
    def _differ(cls, panel: tuple[TeacherSettings, ...]) -> tuple[TeacherSettings, ...]:
        """A member that is named twice would be paid once and counted twice."""
        if len(panel) == 1:
            raise ValueError("name two teachers or more, or one as `teacher`")
        if len({(each.base_url, each.model, each.epoch) for each in panel}) < len(panel):
            raise ValueError("two members are the same endpoint and model")
        return panel

    """The figures that a teacher must reach before a run may use it."""
