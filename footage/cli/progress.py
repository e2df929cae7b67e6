"""How far work is: of an index run a live line on a terminal, else a plain line now and then; of a clip its seconds."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from footage.cli.display import clock, short

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from footage.ingest import Progress


@contextmanager
def display(progress: Progress) -> Generator[None]:
    """Show progress on stderr while it lasts."""
    stop = _live(progress) if sys.stderr.isatty() else _plain(progress)
    try:
        yield
    finally:
        stop()


def _state(p: Progress) -> str:
    elapsed = max(0.1, time.monotonic() - p.started)
    left = p.seconds_left(elapsed)
    eta = f", {clock(round(left))[:-2]} left" if left is not None else ""
    return (
        f"{p.files_done}/{p.files} files, {clock(p.seconds_done)} of video at {p.seconds_done / elapsed:.1f}x, "
        f"limited by {p.limit}{eta}"
    )


def _live(progress: Progress) -> Callable[[], None]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    class Line:
        def __rich__(self) -> Text:
            names = [short(path) for path in list(progress.current)[:3]]
            return Text(
                "\n".join([_state(progress), *(f"  {name}" for name in names)]), overflow="ellipsis", no_wrap=True
            )

    live = Live(Line(), console=Console(stderr=True), refresh_per_second=5, transient=True)
    live.start()
    return live.stop


def _plain(progress: Progress) -> Callable[[], None]:
    done = threading.Event()

    def run() -> None:
        while not done.wait(10.0):
            print(_state(progress), file=sys.stderr, flush=True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return done.set


class Line:
    """A line on a terminal that says how far the clip is, and goes away; without a name there is none."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shows = bool(name) and sys.stderr.isatty()

    def __enter__(self) -> Line:
        self(0.0)
        return self

    def __call__(self, seconds: float) -> None:
        """So many seconds of it are done."""
        self.text(clock(seconds))

    def text(self, said: str) -> None:
        """Say anything else of it."""
        if self._shows:
            print(f"\r\x1b[K{self._name}: {said}", end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self._shows:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
