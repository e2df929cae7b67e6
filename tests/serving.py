"""A real server on a loopback port, over a small library of photographs whose seconds are known."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from clips import library as open_library
from media_samples import Picture, render
from PIL import Image

from footage import mcp
from footage.api import ServeOptions, create_app
from footage.library import Library

SHOTS = {
    "cat & coffee #1.mp4": ("coffee", "chelsea"),
    "太空 100%+.mp4": ("rocket", "moon"),
    "plain.mp4": ("motorcycle_left", "brick", "grass"),
}
"""Clips of photographs inside scikit-image, three seconds each; names that need escaping."""
SECONDS, FPS = 3, 10


def photograph(name: str) -> Path:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        pytest.skip("scikit-image is not installed")
    return next(f for f in (Path(spec.origin).parent / "data").iterdir() if f.stem == name)


def zoomed(shots: tuple[str, ...]) -> Iterator[Picture]:
    """Each photograph for its seconds, slowly zoomed into."""
    for shot in shots:
        picture = Image.open(photograph(shot)).convert("RGB").resize((400, 225))
        for step in range(SECONDS * FPS):
            crop = picture.crop((step // 2, step // 4, 400 - step // 2, 225 - step // 4))
            yield np.asarray(crop.resize((320, 180)))


def films(folder: Path, names: tuple[str, ...] = tuple(SHOTS)) -> Path:
    """Render the clips."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        render(folder / name, zoomed(SHOTS[name]), fps=FPS, options={"preset": "ultrafast", "crf": "20"})
    return folder


@dataclass
class Served:
    """A running server, a client of it, and its library."""

    url: str
    client: httpx.Client
    library: Library

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def id_of(self, name: str) -> str:
        return next(v.id for v in self.library.videos() if Path(v.path).name == name)

    def wait(self, job: str, *states: str, seconds: float = 300) -> dict:
        """Wait until a job is in one of these states (or over)."""
        states = states or ("done", "failed", "cancelled")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = self.client.get(f"/api/v1/jobs/{job}").json()
            if found["state"] in states:
                return found
            time.sleep(0.05)
        raise AssertionError(f"the job is still {found['state']}")


@contextmanager
def serving(library: Library, options: ServeOptions | None = None) -> Iterator[Served]:
    app = create_app(library, options)
    mcp.mount(app)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    until = time.monotonic() + 120
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    assert server.started
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            yield Served(url, client, library)
    finally:
        server.should_exit = True
        thread.join(120)
        sock.close()
        assert not thread.is_alive(), "the server does not end"


def indexed(folder: Path) -> Library:
    """A library of all the clips, in `folder`."""
    library = open_library(folder / "library")
    library.index(films(folder / "films"))
    return library
