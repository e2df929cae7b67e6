"""How often is "nothing in this library looks like that" right, for pictures and clips?

    python bench/quality_strength.py FOLDER [--sets captioned,speech,copies] [--json]

Every video of the sets is asked for with a frame of its own (half size, JPEG quality 50; also darkened, and cropped by
12 % on every side) and with a clip of its own, once with it in the library (a strength below 0.5 is a miss) and once
with it and its relatives filtered out (a strength of 0.5 or more is a false alarm). Relatives: the copies of one
group, and the takes of one scene.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import making
from PIL import Image, ImageEnhance
from quality_moments import as_query, frame_at

from footage import FootageError, Library, Where


def relatives(folder: Path) -> dict[str, str]:
    """Path -> name of its group, from the manifest of the data folder."""
    out: dict[str, str] = {}
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name, group = Path(row["path"]), row["path"]
            if "copy_group=" in row["tags"]:
                group = row["tags"].split("copy_group=")[1].split()[0]
            elif name.name.startswith("uti1_"):
                group = "uti1"  # six scenes of the same people at the same place
            elif row["set"] in ("actions", "speech") and name.parent.name not in ("misc", "kinetics_misc"):
                group = name.parent.name
            elif row["set"] == "captioned" and "panda" in row["path"]:
                group = name.stem.rsplit(".", 1)[0]  # clips of one source video
            out[row["path"]] = group
    return out


def decodable(source: Any) -> Iterator[Any]:
    """What decodes before the stream breaks."""
    with contextlib.suppress(av.FFmpegError):
        yield from source.decode(video=0)


def clip_of(path: Path, start: float, target: Path) -> bool:
    """Three seconds from `start`, 320 pixels wide, encoded again."""
    with av.open(str(path), metadata_errors="ignore") as source:
        return making.encode(target, steadily(source, start), size=(320, 180), crf=30) > 10


def steadily(source: Any, start: float) -> Iterator[Any]:
    """The pictures of three seconds at a steady rate, repeated where the source has fewer."""
    count = 0
    for frame in decodable(source):
        if frame.time is None or frame.time < start or frame.time >= start + 3:
            continue
        if count > 75:
            break
        while count / making.RATE <= frame.time - start:
            count += 1
            yield frame


def variants(picture: Image.Image) -> dict[str, bytes]:
    w, h = picture.size
    inner = picture.crop((int(w * 0.12), int(h * 0.12), int(w * 0.88), int(h * 0.88)))
    dark = ImageEnhance.Brightness(picture).enhance(0.6)
    return {"plain": as_query(picture), "dark": as_query(dark), "crop": as_query(inner)}


def measure(folder: Path, sets: list[str], library: Path, seed: int = 20) -> dict[str, Any]:
    rng = random.Random(seed)
    groups = relatives(folder)
    rows: list[tuple[str, float, float]] = []  # kind, strength with the answer, strength without
    with tempfile.TemporaryDirectory() as scratch, Library.open(library) as lib:
        lib.index([folder / s for s in sets], model="starter")
        videos = lib.videos()
        root = os.path.abspath(folder)  # noqa: PTH100 - links stay links
        names = {v.id: Path(v.path).relative_to(root).as_posix() for v in videos}
        for video in videos:
            others = tuple(v.id for v in videos if groups[names[v.id]] != groups[names[video.id]])
            cut = frame_at(Path(video.path), rng.uniform(0.02, 0.98))
            if cut is None:
                continue
            queries: list[tuple[str, dict[str, Any]]] = [(k, {"image": q}) for k, q in variants(cut[1]).items()]
            clip = Path(scratch) / "clip.mp4"
            if video.duration > 4 and clip_of(Path(video.path), rng.uniform(0, video.duration - 3.5), clip):
                queries.append(("clip", {"video": clip}))
            for kind, query in queries:
                try:
                    present = lib.search(**query, k=1, align=False)[0].strength
                    absent = lib.search(**query, k=1, align=False, where=Where(videos=others))[0].strength
                except FootageError as error:
                    print("skipped:", names[video.id], kind, error)
                    continue
                rows.append((kind, present, absent))
    out: dict[str, Any] = {}
    for kind in sorted({k for k, _, _ in rows}):
        mine = [(p, a) for k, p, a in rows if k == kind]
        out[kind] = {
            "queries": len(mine),
            "missed": round(sum(p < 0.5 for p, _ in mine) / len(mine), 3),
            "false_alarms": round(sum(a >= 0.5 for _, a in mine) / len(mine), 3),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default="captioned,speech,copies")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(a.folder, a.sets.split(","), Path(scratch) / "lib")
    print(json.dumps(figures) if a.json else "\n".join(f"{k:6} {v}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
