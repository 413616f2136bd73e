"""Take the picture of the chat page: ask a question there and wait for the verdict.

    python docs/make_screenshot.py http://127.0.0.1:7860 "感冒要吃抗生素吗？" docs/images/chat.png

Needs Playwright for Python and a Chromium (`CHROMIUM`, else `chromium` on the path).
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 120_000


def take(url: str, question: str, output: Path, width: int, height: int) -> None:
    """Write a PNG of the page once the judge's verdict on the answer is there."""
    with sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_page(viewport={"width": width, "height": height}, locale="zh-CN")
        page.goto(url)
        page.locator("#galen-question textarea").fill(question)
        page.locator("#galen-send").click()
        page.locator(".verdict .reward").wait_for(timeout=WAIT_MS)
        page.locator("#galen-send").wait_for(timeout=WAIT_MS)
        page.mouse.move(0, 0)
        output.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=output, animations="disabled")
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the picture of the chat page.")
    parser.add_argument("url")
    parser.add_argument("question")
    parser.add_argument("output", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=860)
    arguments = parser.parse_args()
    take(arguments.url, arguments.question, arguments.output, arguments.width, arguments.height)


if __name__ == "__main__":
    main()
