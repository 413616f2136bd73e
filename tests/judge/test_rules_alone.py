"""Rubrics without a teacher: the rules are the whole judgement."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

ITEM = {"id": "a", "prompt": "净利润是多少？", "response": "\\boxed{12}", "reference": "12"}


async def judge(http: httpx.AsyncClient, **change: Any) -> dict[str, Any]:
    body = {"rubric": "finance", "items": [ITEM | change.pop("item", {})], **change}
    response = await http.post("/v1/score", json=body)
    assert response.status_code == 200
    (item,) = response.json()["items"]
    return dict(item)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("teacher", ["required", "optional", "off"])
async def test_no_teacher_is_missed(teacher: str, http: httpx.AsyncClient) -> None:
    """Whatever a request says of a teacher, the judgement is whole and the rules' own."""
    result = await judge(http, teacher=teacher)
    assert (result["status"], result["provider"], result["teacher"]) == ("ok", "rules", None)
    assert result["reward"] == result["rules"]["total"] > 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("reference", [None, ""])
async def test_without_a_reference_there_is_no_score(
    reference: str | None, http: httpx.AsyncClient
) -> None:
    """What there is nothing to compare with fails, and is not scored as wrong."""
    result = await judge(http, item={"reference": reference})
    assert (result["status"], result["reward"]) == ("failed", None)
    assert result["error"]["code"] == "no_reference"
