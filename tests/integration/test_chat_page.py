"""The chat page in a real Chromium, on a fake policy server and a fake judge."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright

from galen import DISCLAIMER_EN, DISCLAIMER_ZH
from galen.service.serving import listen
from tests.fakes.services import FakeJudge, FakePolicyServer, Refusal, Stream, verdict_of
from webui.app import create_app, web_server
from webui.settings import WebuiSettings

pytestmark = pytest.mark.browser

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LIMIT_S = 60
"""For what a browser does within a second, on a machine that has much else to do."""
REASONING = "感冒多由病毒引起，没有使用抗生素的指征。"
ANSWER = "不建议自行服用抗生素。如果呼吸急促，请尽快就医。"
WHOLE = f"<think>\n{REASONING}\n</think>\n\n{ANSWER}"
QUESTION = "感冒了要吃抗生素吗？"


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """One browser for all tests, so that each loads the page's scripts from its cache."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        missing = "no Chromium: install the system's package 'chromium' or set CHROMIUM to its path"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    expect.set_options(timeout=LIMIT_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        try:
            yield browser.new_context(viewport={"width": 1280, "height": 860}, locale="zh-CN")
        finally:
            browser.close()


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[FakePolicyServer, FakeJudge, str]]:
    """Both fakes and the URL of one page on top of them, for all tests here."""
    with FakePolicyServer({}, current="") as policy, FakeJudge() as judge:
        settings = WebuiSettings(server_url=policy.url, judge_url=judge.url, rehearsal=True)
        with serving(settings) as url:
            yield policy, judge, url


@pytest.fixture
def policy(services: tuple[FakePolicyServer, FakeJudge, str]) -> FakePolicyServer:
    services[0].start_over({"ppo-2": True, "sft": False}, current="ppo-2")
    return services[0]


@pytest.fixture
def judge(services: tuple[FakePolicyServer, FakeJudge, str]) -> FakeJudge:
    services[1].start_over()
    return services[1]


@pytest.fixture
def page(
    browser: BrowserContext,
    services: tuple[FakePolicyServer, FakeJudge, str],
    policy: FakePolicyServer,
) -> Iterator[Page]:
    with opened(browser, services[2]) as page:
        expect(picker(page)).to_have_value("ppo-2 · 当前 current")
        yield page


@contextmanager
def serving(settings: WebuiSettings) -> Iterator[str]:
    """The page's URL while it is served from a thread."""
    with listen("127.0.0.1", 0) as listener:
        server = web_server(create_app(settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(LIMIT_S)
            assert not thread.is_alive()


@contextmanager
def opened(browser: BrowserContext, url: str) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(LIMIT_S * 1000)
    try:
        page.goto(url)
        expect(page.locator("#galen-send")).to_be_visible()
        yield page
    finally:
        page.close()


def picker(page: Page) -> Locator:
    return page.locator("#galen-picker input")


def ask(page: Page, question: str = QUESTION) -> None:
    page.get_by_label("问题 Question").fill(question)
    page.locator("#galen-send").click()


def choose(page: Page, label: str) -> None:
    picker(page).click()
    page.get_by_role("option", name=label).click()


def test_reasoning_is_collapsed_apart_from_the_answer(
    page: Page, policy: FakePolicyServer, judge: FakeJudge
) -> None:
    """The answer is in view, the reasoning only after a click on its heading."""
    policy.enqueue_chat(Stream([{"content": char} for char in WHOLE], version="ppo-2"))
    judge.enqueue(verdict_of(WHOLE, {"warns_risk": ("呼吸急促", 0.15)}))
    ask(page)
    expect(page.locator(".verdict .reward")).to_be_visible()
    expect(page.get_by_text("请尽快就医")).to_be_visible()
    expect(page.get_by_text(REASONING)).not_to_be_visible()
    page.get_by_text("思考过程 Reasoning").click()
    expect(page.get_by_text(REASONING)).to_be_visible()


def test_reasoning_that_the_server_sends_apart_is_shown_alike(
    page: Page, policy: FakePolicyServer, judge: FakeJudge
) -> None:
    """`reasoning` deltas of a reasoning parser look like `<think>` in the content."""
    deltas = [{"reasoning": REASONING}, {"content": ANSWER}]
    policy.enqueue_chat(Stream(deltas, version="ppo-2"))
    judge.enqueue(verdict_of(WHOLE, {}))
    ask(page)
    expect(page.locator(".verdict .reward")).to_be_visible()
    expect(page.get_by_text(REASONING)).not_to_be_visible()
    expect(page.get_by_text("请尽快就医")).to_be_visible()
    assert judge.asked("POST", "/v1/score")[0]["items"][0]["response"] == WHOLE


def test_verdict_shows_reward_mock_label_and_the_words_that_a_rule_saw(
    page: Page, policy: FakePolicyServer, judge: FakeJudge
) -> None:
    """A mock verdict says so beside its reward, and its words are marked in the answer."""
    policy.enqueue_chat(Stream([{"content": WHOLE}], version="ppo-2"))
    judge.enqueue(verdict_of(WHOLE, {"warns_risk": ("呼吸急促", 0.15)}))
    ask(page)
    verdict = page.locator(".verdict")
    expect(verdict.locator(".reward")).to_contain_text("+0.62")
    expect(verdict.locator(".badge.mock")).to_have_text("模拟评审 MOCK")
    expect(page.locator("#galen-chatbot mark.hit-good")).to_have_text("呼吸急促")


def test_failed_judgement_is_no_score(
    page: Page, policy: FakePolicyServer, judge: FakeJudge
) -> None:
    """A failed item shows as failed, without any number, and can be judged again."""
    policy.enqueue_chat(Stream([{"content": WHOLE}], version="ppo-2"))
    error = {"code": "upstream_failed", "message": "the teacher broke off", "retryable": True}
    none = {"reward": None, "rules": None, "teacher": None}
    judge.enqueue(verdict_of(WHOLE, {}, status="failed", error=error, **none))
    judge.enqueue(verdict_of(WHOLE, {}))
    ask(page)
    expect(page.locator(".verdict .reward")).to_contain_text("评审失败")
    expect(page.locator(".verdict .bar")).to_have_count(0)
    page.locator("#galen-again").click()
    expect(page.locator(".verdict .reward")).to_contain_text("+0.62")


def test_disclaimer_stays_in_view(page: Page, policy: FakePolicyServer, judge: FakeJudge) -> None:
    """Both disclaimers and the rehearsal's warning are on the screen, scrolled down or not."""
    page.set_viewport_size({"width": 390, "height": 600})
    for _ in ("at the top", "at the bottom"):
        for text in (DISCLAIMER_ZH, DISCLAIMER_EN, "worthless as medicine"):
            expect(page.get_by_text(text)).to_be_in_viewport(ratio=1)
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert page.evaluate("window.scrollY") > 0


def test_services_down_are_named_and_the_page_stays_usable(browser: BrowserContext) -> None:
    """Without its services the page opens and says which one is missing and what to do."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = WebuiSettings(server_url=nowhere, judge_url=nowhere)
    with serving(settings) as url, opened(browser, url) as page:
        expect(page.locator("#galen-notice")).to_contain_text("make up")
        ask(page)
        problem = page.locator("#galen-chatbot .galen-problem")
        expect(problem).to_contain_text("策略服务暂时无法访问")
        expect(page.locator("#galen-send")).to_be_visible()


def test_service_stops_though_a_page_is_open(browser: BrowserContext) -> None:
    """An open page does not keep the process from ending."""
    with serving(WebuiSettings()) as url:
        page = browser.new_page()
        page.goto(url)
        expect(page.locator("#galen-send")).to_be_visible()
    page.close()


def test_judge_down_leaves_the_answer(
    page: Page, policy: FakePolicyServer, judge: FakeJudge
) -> None:
    """A judge that cannot judge costs the verdict, not the answer."""
    policy.enqueue_chat(Stream([{"content": WHOLE}], version="ppo-2"))
    judge.enqueue(Refusal(503, "starting"))
    ask(page)
    expect(page.locator(".verdict")).to_contain_text("评审服务暂时无法访问")
    expect(page.get_by_text("请尽快就医")).to_be_visible()


def test_choosing_an_unloaded_version_activates_it_for_all(
    page: Page, policy: FakePolicyServer
) -> None:
    """The switch is asked of the server once, and the page says whom it concerns."""
    choose(page, "sft · 全体切换 for all")
    expect(page.locator("#galen-notice")).to_contain_text("所有人")
    expect(picker(page)).to_have_value("sft · 当前 current")
    assert policy.asked("POST", "/policy/activate") == [{"name": "sft"}]


def test_refused_switch_puts_the_picker_back(page: Page, policy: FakePolicyServer) -> None:
    """A refusal is shown in words, and the version from before stays picked."""
    policy.refuse_activation(Refusal(409, "parity probe failed"))
    choose(page, "sft · 全体切换 for all")
    expect(page.locator("#galen-notice")).to_contain_text("parity probe failed")
    expect(picker(page)).to_have_value("ppo-2 · 当前 current")
    assert policy.asked("POST", "/policy/activate") == [{"name": "sft"}]


def test_stop_cancels_the_generation(page: Page, policy: FakePolicyServer) -> None:
    """Stopping hangs up on the server, keeps what was written and lets one ask again."""
    stream = Stream([{"content": "<think>想</think>先说一半"}], version="ppo-2", hold=True)
    policy.enqueue_chat(stream)
    ask(page)
    expect(page.get_by_text("先说一半")).to_be_visible()
    page.locator("#galen-stop").click()
    assert stream.hung_up.wait(LIMIT_S)
    expect(page.locator("#galen-chatbot .galen-remark")).to_contain_text("已停止")
    expect(page.get_by_text("先说一半")).to_be_visible()
    expect(page.locator("#galen-send")).to_be_visible()


def test_new_conversation_cancels_and_empties(page: Page, policy: FakePolicyServer) -> None:
    """Starting over hangs up on the server and leaves nothing of the old conversation."""
    stream = Stream([{"content": "先说一半"}], version="ppo-2", hold=True)
    policy.enqueue_chat(stream)
    ask(page)
    expect(page.get_by_text("先说一半")).to_be_visible()
    page.locator("#galen-new").click()
    assert stream.hung_up.wait(LIMIT_S)
    expect(page.get_by_text("您想了解什么")).to_be_visible()
    expect(page.get_by_text("先说一半")).to_have_count(0)
    expect(page.locator("#galen-send")).to_be_visible()


def test_closing_the_page_cancels_the_generation(page: Page, policy: FakePolicyServer) -> None:
    """Nobody reads on, so nothing is generated on."""
    stream = Stream([{"content": "先说一半"}], version="ppo-2", hold=True)
    policy.enqueue_chat(stream)
    ask(page)
    expect(page.get_by_text("先说一半")).to_be_visible()
    page.close()
    assert stream.hung_up.wait(LIMIT_S)


def test_model_output_is_never_markup_nor_script(
    page: Page, policy: FakePolicyServer, judge: FakeJudge
) -> None:
    """Tags, template placeholders and Markdown images in an answer or a verdict are only text."""
    hostile = (
        "<img src=x onerror='window.hacked=1'>${window.hacked=2} {{window.hacked=3}} "
        "![pixel](http://127.0.0.1:9/pixel.png) [go](javascript:window.hacked=4) $x^2$ `</div>`"
    )
    whole = f"<think>{hostile}</think>{hostile}"
    policy.enqueue_chat(Stream([{"content": whole}], version="ppo-2"))
    teacher = {"safety": 0.5, "overall": 0.5, "why": hostile}
    judge.enqueue(verdict_of(whole, {hostile: ("</div>", -1.0)}, teacher=teacher))
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    ask(page, hostile)
    expect(page.locator(".verdict .why")).to_have_text(hostile)
    expect(page.locator("#galen-chatbot .galen-text").last).to_have_text(hostile)
    assert page.evaluate("window.hacked") is None
    assert [url for url in asked_for if "pixel.png" in url] == []


def test_page_asks_no_other_host(page: Page) -> None:
    """The page works without the internet: fonts, scripts and styles are its own."""
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    page.reload()
    expect(picker(page)).to_have_value("ppo-2 · 当前 current")
    own = (page.url, "data:", "blob:")
    assert [url for url in asked_for if not url.startswith(own)] == []
    assert len(asked_for) > 1


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_two_answers_are_compared_before_their_versions_are_named(
    page: Page, policy: FakePolicyServer, judge: FakeJudge
) -> None:
    """The vote reaches the judge with both answers; then the page says who wrote which."""
    policy.versions["sft"] = True
    policy.enqueue_chat(
        Stream([{"content": WHOLE}], version="ppo-2"), Stream([{"content": "多喝水。"}])
    )
    page.get_by_role("tab", name="对比 Side by side").click()
    page.locator("#galen-duel-question textarea").fill(QUESTION)
    expect(page.get_by_label("版本二 The other")).to_have_value("sft · 已加载 loaded")
    page.locator("#galen-duel-send").click()
    expect(page.locator("#galen-vote-a")).to_be_enabled()
    expect(page.locator("#galen-duel")).not_to_contain_text("ppo-2")
    page.locator("#galen-vote-a").click()
    expect(page.locator("#galen-duel-notice")).to_contain_text("A was written by")
    expect(page.locator("#galen-duel")).to_contain_text("ppo-2")
    (vote,) = judge.asked("POST", "/v1/feedback")
    assert (vote["prompt"], vote["vote"]) == (QUESTION, "a")
    assert {vote["response_a"], vote["response_b"]} == {WHOLE, "多喝水。"}
    assert {vote["model_a"], vote["model_b"]} == {"ppo-2", "sft"}
