"""Fifty clients search by text while a folder is being indexed: how long do they wait, and does memory stay flat?

The real command serves on loopback; the clients are one process of bare sockets. Each asks, reads the answer for
`--pause` seconds (half to one and a half times that, 2 by default, as a person would), and asks again. `--pause 0` asks
again at once: then all of them together wait for the processor, and what is measured is how many searches it does in a
second. Memory is read before, after, and once more after as long again. Every query is another one, so no answer can
come from a cache of answers. One client alone without a pause, before them and during the same indexing, is the measure
beside which the others are seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil

WORDS = (
    "a red car parked by the sea|a dog runs on the beach|two people talk at a table|a plane in the sky|a cat asleep|"
    "snow on a mountain|a crowded street at night|a child plays with a ball|a boat on a lake|flowers in a garden|"
    "a man rides a horse|a train arrives|birds fly over water|a kitchen with pots|a woman reads a book"
).split("|")
NEW = 60  # videos of a minute: more than can be indexed meanwhile
PLACES = "in the morning|in rain|from above|at night|close up|far away|in summer|in black and white".split("|")


def render(path: Path, seed: int, seconds: int, size: tuple[int, int]) -> None:
    """Coloured blocks that change every two seconds: each second is a sample of its own."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(10), options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for _ in range(seconds // 2):
            blocks = rng.integers(0, 256, (size[1] // 40, size[0] // 40, 3), dtype=np.uint8)
            picture = np.kron(blocks, np.ones((40, 40, 1), np.uint8))
            for step in range(20):
                frame = av.VideoFrame.from_ndarray(np.roll(picture, step, axis=1), format="rgb24")
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def copy(source: Path, target: Path, comment: str) -> None:
    """The same pictures in a file of other bytes."""
    with av.open(str(source)) as one, av.open(str(target), "w") as two:
        two.metadata["comment"] = comment
        stream = two.add_stream_from_template(one.streams.video[0])
        for packet in one.demux(one.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                two.mux(packet)


def get(url: str, body: dict | None = None) -> dict:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


async def client(port: int, seed: int, until: float, pause: float, took: list[float], errors: list[str]) -> None:
    """One connection, one query after another."""
    rng = random.Random(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(rng.random() * pause)
    while time.perf_counter() < until:
        words = f"{rng.choice(WORDS)} {rng.choice(PLACES)} {rng.randrange(10**6)}"
        path = f"/api/v1/search?q={urllib.parse.quote(words)}&k=10"
        started = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        body = await reader.readexactly(length)
        took.append(time.perf_counter() - started)
        if not head.startswith(b"HTTP/1.1 200") or b'"moments":[{' not in body:
            errors.append(body[:200].decode(errors="replace"))
        if pause:
            await asyncio.sleep(pause * rng.uniform(0.5, 1.5))  # people do not ask in step
    writer.close()


async def load(port: int, clients: int, seconds: float, pause: float) -> tuple[list[float], list[str]]:
    took: list[float] = []
    errors: list[str] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(client(port, n, until, pause, took, errors) for n in range(clients)))
    return took, errors


def rss_mb(process: psutil.Process) -> float:
    return round(process.memory_info().rss / 2**20, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--pause", type=float, default=2, help="seconds between an answer and the next query")
    parser.add_argument("--videos", type=int, default=40, help="in the library before the indexing begins")
    parser.add_argument("--idle", action="store_true", help="index nothing meanwhile")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="footage-bench-") as folder:
        result = run(Path(folder), options)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:20} {value}")
    good = result["errors"] == 0 and result["p95_ms"] <= 5 * result["single_p50_ms"]
    return 0 if good else 1


def run(folder: Path, options: argparse.Namespace) -> dict:
    old, new = folder / "old", folder / "new"
    old.mkdir()
    new.mkdir()
    for n in range(4):
        render(folder / f"old{n}.mp4", n, 20, (320, 240))
        render(folder / f"new{n}.mp4", 1000 + n, 60, (960, 720))
    # The same pictures under other bytes are other videos: a fresh one each would take minutes to render.
    for n in range(options.videos):
        copy(folder / f"old{n % 4}.mp4", old / f"{n}.mp4", str(n))
    for n in range(NEW):
        copy(folder / f"new{n % 4}.mp4", new / f"{n}.mp4", str(n))
    library = str(folder / "library")
    footage = [sys.executable, "-m", "footage.cli"]
    subprocess.run(
        [*footage, "index", str(old), "--library", library, "--model", "starter"], check=True, capture_output=True
    )
    command = [*footage, "serve", "--library", library, "--allow-dir", str(new), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        port = int(re.search(r":(\d+)/", server.stderr.readline())[1])  # type: ignore[index]
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                get(f"http://127.0.0.1:{port}/readyz")
                break
            except OSError:
                time.sleep(0.1)
        return measure(port, psutil.Process(server.pid), options)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def measure(port: int, process: psutil.Process, options: argparse.Namespace) -> dict:
    url = f"http://127.0.0.1:{port}/api/v1"
    asyncio.run(load(port, 4, 3, 0))  # warm
    job = "" if options.idle else get(f"{url}/index", {"folders": ["new"]})["id"]
    time.sleep(3)
    single, wrong = asyncio.run(load(port, 1, 6, 0))
    rss_start = rss_mb(process)
    took, errors = asyncio.run(load(port, options.clients, options.seconds, options.pause))
    rss_end = rss_mb(process)
    asyncio.run(load(port, options.clients, options.seconds, options.pause))
    rss_later = rss_mb(process)
    state = get(f"{url}/jobs/{job}") if job else {"state": "none", "progress": {"files_done": 0}}
    took.sort()
    result = {
        "requests": len(took),
        "errors": len(errors) + len(wrong),
        "p50_ms": round(1000 * statistics.median(took), 1),
        "p95_ms": round(1000 * took[int(0.95 * len(took))], 1),
        "single_p50_ms": round(1000 * statistics.median(single), 1),
        "rss_start_mb": rss_start,
        "rss_end_mb": rss_end,
        "rss_later_mb": rss_later,
        "requests_per_second": round(len(took) / options.seconds, 1),
        "indexing": state["state"],
        "files_indexed": state["progress"]["files_done"],
    }
    if errors:
        print(errors[0], file=sys.stderr)
    return result


if __name__ == "__main__":
    sys.exit(main())
