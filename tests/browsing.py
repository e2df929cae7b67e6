"""A real browser on a real server: the command `footage serve` and Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
WAIT = 90_000  # milliseconds: these machines are shared


@contextmanager
def chromium() -> Iterator[Browser]:
    path = os.environ.get("FOOTAGE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium here (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def command(library: Path, *options: object, env: dict[str, str] | None = None) -> Iterator[str]:
    """`footage serve` on a free port; gives its address."""
    words = [sys.executable, "-m", "footage", "serve", "--library", str(library), "--port", "0", *map(str, options)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"http://\S+?:\d+/", line)
        assert found, line + process.stderr.read()
        _ready(found[0])
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)  # a run that is cancelled is wound up first


def _ready(url: str) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(url + "readyz", timeout=30)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


class Tab:
    """A page of Footage, and all that went wrong on it: the test fails with that at the end."""

    def __init__(self, browser: Browser, url: str, width: int = 1400, height: int = 900, **options: object) -> None:
        self.url = url
        context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT)
        self.page.add_init_script(_LASTING)
        self.wrong: list[str] = []
        self.meant: list[str] = []
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.wrong.append(f"console: {m.text}"))
        self.page.on("pageerror", lambda e: self.wrong.append(f"error: {e}"))
        self.page.on("request", lambda r: self.wrong.append(f"foreign: {r.url}") if self.foreign(r.url) else None)
        self.page.on("response", lambda r: self.wrong.append(f"{r.status}: {r.url}") if r.status >= 500 else None)

    def foreign(self, url: str) -> bool:
        return not url.startswith((self.url, "blob:", "data:"))

    def expect(self, *parts: str) -> None:
        """These things went wrong, and were meant to: also what the console tells of them later."""
        until = time.monotonic() + WAIT / 1000
        while not all(any(part in line for line in self.wrong) for part in parts) and time.monotonic() < until:
            self.page.wait_for_timeout(50)  # the console may tell it after the page does
        for part in parts:
            assert any(part in line for line in self.wrong), (part, self.wrong)
        self.meant += parts

    def open(self, address: str = "") -> Tab:
        self.page.goto(self.url + address, timeout=2 * WAIT)
        self.page.wait_for_selector(".footage.ready")
        return self

    def close(self) -> None:
        self.page.context.close()
        unmeant = [line for line in self.wrong if not any(part in line for part in self.meant)]
        assert not unmeant, unmeant

    def find(self, selector: str, **options: object) -> Locator:
        return self.page.locator(selector, **options)  # type: ignore[arg-type]

    def search(self, words: str) -> None:
        with self.answered():
            self.find(".words").fill(words)
            self.page.keyboard.press("Enter")

    @contextmanager
    def answered(self) -> Iterator[None]:
        """What is done in here is answered by a search, and the answer is shown."""
        # The request, not the response: that of an earlier search may come late.
        with self.page.expect_request(lambda r: r.url.endswith("/api/v1/search")) as asked:
            yield
        told = asked.value.response()
        assert told is not None and told.ok, told and told.text()
        self.page.wait_for_selector(".results:not(.loading)")

    def first(self) -> tuple[str, str]:
        """The name of the first result's file and its range."""
        tile = self.find(".tile").first
        tile.wait_for()
        group = self.find(".group", has=tile)
        return group.first.locator(".name").inner_text(), tile.locator(".range").inner_text()

    def drop(self, *files: Path, on: str = ".words", kind: str = "drop") -> None:
        """Drop files as a file manager does (or paste them)."""
        given = [(f.name, _type(f), base64.b64encode(f.read_bytes()).decode()) for f in files]
        self.page.evaluate(_DROP, [on, kind, given])

    def play(self, number: int = 0) -> None:
        self.find(".tile .picture").nth(number).click()
        self.page.wait_for_function("document.querySelector('.player video').readyState >= 2")

    def video(self, what: str) -> object:
        return self.page.evaluate(f"document.querySelector('.player video').{what}")

    def until(self, script: str) -> None:
        self.page.wait_for_function(script)

    @contextmanager
    def seen(self, script: str, then: str = "") -> Iterator[None]:
        """What is done in here brings this about, be it for a moment only: the page watches, and may do something then.

        A test that asks afterwards may come too late, where a video plays on.
        """
        self.page.evaluate(_WATCH % (script, then))
        yield
        self.until("window.watched.seen")

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def _type(file: Path) -> str:
    kinds = {".jpg": "image/jpeg", ".png": "image/png", ".mp4": "video/mp4", ".avi": "video/x-msvideo"}
    return kinds.get(file.suffix, "text/plain")


# Toasts go after some seconds, but a test may be kept from looking for longer.
_LASTING = """(() => {
  const later = window.setTimeout;
  const hour = (after) => (after === 4000 || after === 9000 ? 3_600_000 : after);
  window.setTimeout = (what, after, ...more) => later(what, hour(after), ...more);
})()"""

# Events of videos do not bubble, but are caught on their way down.
_WATCH = """() => {
  const watched = window.watched = { seen: false };
  const look = () => {
    if (watched.seen || watched !== window.watched || !(%s)) return;
    watched.seen = true;
    %s
  };
  for (const name of ["play", "playing", "pause", "seeking", "seeked", "timeupdate", "ended"]) {
    document.addEventListener(name, look, true);
  }
  const frame = () => { look(); if (!watched.seen && watched === window.watched) requestAnimationFrame(frame); };
  frame();
}"""

_DROP = """([selector, kind, given]) => {
  const transfer = new DataTransfer();
  for (const [name, type, text] of given) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  const target = document.querySelector(selector);
  if (kind === "paste") {
    target.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }));
    return;
  }
  for (const name of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(name, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""
