"""What reading a video behind a URL costs: requests and bytes, beside the size of the file.

    python bench/remote.py [FILE...]      by default a video of noise, 30 s, in three containers

The server is moto's, on the loopback, so that only counts say something here, and times nothing of a real network.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from object_store import forget, s3_server, store
from test_places import noise

from footage.catalog import digest
from footage.media import probe
from footage.media.cut import cut_clip, frame_at
from footage.places import Remote, Spool


def main() -> None:
    with tempfile.TemporaryDirectory() as made, s3_server() as server, pytest.MonkeyPatch.context() as patch:
        folder = Path(made)
        files = [Path(name) for name in sys.argv[1:]] or [
            noise(folder / "index at the end.mp4", 30),
            noise(folder / "index at the start.mp4", 30, movflags="faststart"),
            noise(folder / "matroska.mkv", 30),
        ]
        print(f"{'file':24} {'what':18} {'requests':>8} {'MB':>7} {'of file':>8}")
        with store(server, "bench", patch) as s3:
            for file in files:
                url, size = s3.put(file.name, file), file.stat().st_size
                middle = probe(file).duration / 2

                def index(url: str = url) -> None:
                    with Spool() as spool:
                        remote = Remote(url, spool=spool)
                        digest(remote, lambda: None)
                        probe(remote)

                works: dict[str, Callable[[], object]] = {
                    "probe": lambda url=url: probe(url),
                    "a still": lambda url=url, middle=middle: frame_at(url, middle),
                    "a clip of 2 s": lambda url=url, middle=middle: cut_clip(
                        url, folder / "out.mp4", middle, middle + 2, fast=True
                    ),
                    "index": index,
                }
                for what, work in works.items():
                    forget()
                    s3.gate.clear()
                    work()
                    sent = s3.gate.sent
                    print(
                        f"{file.name[:24]:24} {what:18} {len(s3.gate.requests):8} {sent / 1e6:7.2f} {sent / size:8.1%}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
