"""The two services as a training loop meets them, on loopback.

Both keep every request; what is queued for an item or a completion is answered before the usual.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from judge.schemas import DriftReport, Estimate, ItemError, ScoreResult
from server.schemas import MANIFEST
from tests.fakes.examination import examinee_of, figures_of
from tests.fakes.rollouts import verdict
from tests.fakes.services import FakeService, Refusal, Request, refuse, send_json

RUBRIC_SHA256 = "a" * 64


class LoopService(FakeService):
    """Answers one request after the other, so that what is counted and queued stays so."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.Lock()

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        with self._turn:
            self.answer_next(handler, request)

    def answer_next(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        raise NotImplementedError


class LoopPolicyServer(LoopService):
    """Takes versions and completes; a completion names the current version unless another is
    queued in `written_by`."""

    def __init__(self, base_sha256: str) -> None:
        super().__init__()
        self.current = "base"
        self.serves = "merged"
        self.cards = {"base": _card("base", base_sha256)}
        self.refusals: deque[Refusal] = deque()
        """What the next versions get instead of being taken."""
        self.written_by: deque[str] = deque()
        self.text = "建议就医"
        self.tells_seed = False
        """Whether each completion ends with its seed, so that no two are alike."""
        self.busy: deque[dict[str, str]] = deque()
        """Headers of the 503 that each of the next completions gets instead of an answer."""
        self.spoilt: set[int] = set()
        """Seeds of which every completion lacks a log-probability."""

    def know(self, name: str) -> None:
        """Have a version on the list."""
        self.cards[name] = _card(name, "0" * 64)

    def answer_next(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        match request.method, request.path:
            case "GET", "/policy":
                pass
            case "POST", "/policy/activate" if request.body["name"] not in self.cards:
                refuse(handler, Refusal(404, f"no version {request.body['name']!r}"))
                return
            case "POST", "/policy/activate":
                self.current = request.body["name"]
            case "POST", "/policy/versions" if self.refusals:
                refuse(handler, self.refusals.popleft())
                return
            case "POST", "/policy/versions":
                self._take_version(Path(request.body["path"]), request.body["activate"])
            case "DELETE", path if path.startswith("/policy/versions/"):
                del self.cards[path.rpartition("/")[2]]
            case "POST", "/v1/completions" if self.busy:
                self._turn_away(handler, self.busy.popleft())
                return
            case "POST", "/v1/completions":
                send_json(handler, 200, self._completion(request.body))
                return
            case _:
                refuse(handler, Refusal(404, f"no route {request.path}"))
                return
        send_json(handler, 200, self._state())

    @staticmethod
    def _turn_away(handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> None:
        handler.send_response(503)
        for name, value in {**headers, "Content-Length": "0"}.items():
            handler.send_header(name, value)
        handler.end_headers()

    def _take_version(self, folder: Path, activate: bool) -> None:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        kept = {name: manifest[name] for name in ("kind", "run", "step", "parent")}
        name = manifest["name"]
        self.current = name if activate else self.current
        self.cards[name] = _card(name, manifest["sha256"], **kept)

    def _state(self) -> dict[str, Any]:
        cards = list(self.cards.values())
        state = {"current": self.current, "serves": self.serves, "versions": cards}
        return {**state, "disclaimer": "research only"}

    def _completion(self, asked: dict[str, Any]) -> dict[str, Any]:
        version = self.written_by.popleft() if self.written_by else self.current
        choice = {
            "token_ids": [5, 6, 7],
            "logprobs": {"token_logprobs": [-5.0, -5.5, -6.0][asked["seed"] in self.spoilt :]},
            "text": self.text + (str(asked["seed"]) if self.tells_seed else ""),
            "finish_reason": "stop",
        }
        return {"model": f"policy@{version}", "choices": [choice]}


class LoopJudge(LoopService):
    """Gives every item `reward`, unless a verdict is queued for the end of the item's id.

    With a `cap` it judges so many different answers and then says `budget_exceeded`; what it has
    judged it answers for nothing.
    """

    def __init__(self, reward: float = 0.5, provider: str = "teacher.example") -> None:
        super().__init__()
        self.reward = reward
        self.provider = provider
        self.examinee = examinee_of(figures_of())
        self.cap: int | None = None
        self.paid: list[tuple[str, str]] = []
        """Prompt and response of each answer that was judged for money, in order."""
        self.drift: deque[DriftReport | Refusal] = deque()
        """What the next looks at the anchors find; else nothing has moved."""
        self._queued: dict[str, deque[ScoreResult | Refusal]] = defaultdict(deque)

    def enqueue(self, end_of_id: str, *verdicts: ScoreResult | Refusal) -> None:
        self._queued[end_of_id].extend(verdicts)

    def answer_next(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        if request.path == "/v1/rubrics":
            send_json(handler, 200, {"rubrics": [_rubric()]})
            return
        if request.path.startswith("/v1/qualifications?"):
            send_json(handler, 200, self.examinee.model_dump(mode="json"))
            return
        if request.path == "/v1/drift":
            found = self.drift.popleft() if self.drift else steady()
            if isinstance(found, Refusal):
                refuse(handler, found)
            else:
                send_json(handler, 200, found.model_dump(mode="json"))
            return
        (item,) = request.body["items"]
        result = self._next(item)
        if isinstance(result, Refusal):
            refuse(handler, result)
            return
        body = {"rubric": request.body["rubric"], "rubric_sha256": RUBRIC_SHA256, "usage": {}}
        items = [{**result.model_dump(mode="json"), "id": item["id"]}]
        send_json(handler, 200, {**body, "items": items})

    def asked_for(self, end_of_id: str) -> int:
        """How often this item was to be judged."""
        bodies = self.asked("POST", "/v1/score")
        return sum(body["items"][0]["id"].endswith(end_of_id) for body in bodies)

    def _next(self, item: dict[str, Any]) -> ScoreResult | Refusal:
        for end, queued in self._queued.items():
            if item["id"].endswith(end) and queued:
                return queued.popleft()
        if (answer := (item["messages"][-1]["content"], item["response"])) not in self.paid:
            if len(self.paid) == self.cap:
                error = ItemError(code="budget_exceeded", message="run cap", retryable=False)
                return verdict(None, error=error)
            self.paid.append(answer)
        return verdict(self.reward, provider=self.provider)


def steady(**changes: Any) -> DriftReport:
    """A look at the anchors that found nothing, with some fields changed."""
    fields: dict[str, Any] = {
        "rubric": "medical-safety",
        "provider": "teacher.example",
        "anchors": 12,
        "judged": 12,
        "shift": {"safety": Estimate(value=0.0, low=0.0, high=0.0)},
        "fingerprint_changed": False,
        "alarm": False,
        **changes,
    }
    return DriftReport(**fields)


def _card(name: str, sha256: str, **facts: Any) -> dict[str, Any]:
    return {"name": name, "kind": "merged", "sha256": sha256, "loaded": True, **facts}


def _rubric() -> dict[str, Any]:
    return {
        "name": "medical-safety",
        "sha256": RUBRIC_SHA256,
        "description": "for tests",
        "asks_teacher": True,
        "needs_reference": False,
        "dimensions": {"safety": 1.0},
        "rules": [],
    }
