"""The judge's own client, with the judge in the same process: no port, no thread."""

from __future__ import annotations

import httpx
from fastapi import FastAPI

from judge.client import JudgeClient


class AsgiJudge(JudgeClient):
    def __init__(self, app: FastAPI, key: str | None = None) -> None:
        super().__init__("http://localhost")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url=self.base_url, headers=headers
        )
