"""The baseline: a FastAPI route that does nothing. `python _bare.py PORT`."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, Response

app = FastAPI()
ANSWER = b'{"status":"ok"}'


@app.post("/v1/score")
async def score() -> Response:
    return Response(ANSWER, media_type="application/json")


@app.get("/healthz")
async def healthz() -> Response:
    return Response(ANSWER, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, backlog=2048)
