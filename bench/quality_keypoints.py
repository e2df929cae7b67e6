"""Do keypoints put the right file first where a picture was cropped, turned, mirrored or covered? What do they cost?

    python bench/quality_keypoints.py FOLDER [--sets captioned,speech,copies] [--models starter,opencv-pdq] [--json]

One frame of every video of the sets, at a seeded random time, cut by an independent loop, half size, JPEG quality 50:
plain; cropped by 20 % on every side; mirrored; turned by 15 degrees on black; and with a box and a line of writing
over a fifth of it. Each is asked without and with verification. Reported in per cent: the right file first, true time
inside the first moment (give or take 1 s), strength below 0.5 (a miss), and a strength of 0.5 or more when the video
and its relatives are filtered out (a false alarm); and the median time of a search. `--raw FILE` keeps the counts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from quality_moments import EVERY, as_query, frame_at
from quality_strength import relatives

from footage import Library, Where


def variants(picture: Image.Image) -> dict[str, bytes]:
    w, h = picture.size
    inner = picture.crop((int(w * 0.2), int(h * 0.2), int(w * 0.8), int(h * 0.8)))
    covered = picture.copy()
    draw = ImageDraw.Draw(covered)
    draw.rectangle((int(w * 0.05), int(h * 0.65), int(w * 0.95), int(h * 0.88)), fill=(250, 220, 20))
    draw.text((int(w * 0.1), int(h * 0.7)), "BREAKING NEWS", fill=(0, 0, 0), font_size=max(8, h // 10))
    return {
        "plain": as_query(picture),
        "cropped": as_query(inner),
        "mirrored": as_query(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "turned": as_query(picture.rotate(15, Image.Resampling.BICUBIC, expand=True)),
        "covered": as_query(covered),
    }


def asked(lib: Library, query: bytes, verify: bool, others: tuple[str, ...]) -> dict[str, Any]:
    began = time.perf_counter()
    first = lib.search(image=query, k=10, verify=verify)[0]
    took = time.perf_counter() - began
    absent = lib.search(image=query, k=10, verify=verify, where=Where(videos=others))
    best = max(absent, key=lambda m: m.strength)
    counts = [[int(e.score) for e in m.evidence if e.channel == "keypoints"] for m in (first, absent[0])]
    return {
        "video": first.video.id,
        "span": (first.start, first.end),
        "strength": first.strength,
        "absent": best.strength,
        "counts": counts,
        "ms": took * 1000,
    }


def measure(
    folder: Path, sets: list[str], model: str, library: Path, seed: int, every: int, ways: tuple[bool, ...]
) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    groups = relatives(folder)
    rows: list[dict[str, Any]] = []
    with Library.open(library) as lib:
        lib.index([folder / s for s in sets], model=model)
        videos = lib.videos()
        root = os.path.abspath(folder)  # noqa: PTH100 - links stay links
        names = {v.id: Path(v.path).relative_to(root).as_posix() for v in videos}
        for video in videos[::every]:
            others = tuple(v.id for v in videos if groups[names[v.id]] != groups[names[video.id]])
            cut = frame_at(Path(video.path), rng.uniform(0.02, 0.98))
            if cut is None:
                continue
            for kind, query in variants(cut[1]).items():
                for verify in ways:
                    row = asked(lib, query, verify, others)
                    start, end = row["span"]
                    right = row["video"] == video.id
                    inside = right and start - EVERY <= cut[0] < end + EVERY
                    rows.append({**row, "kind": kind, "verify": verify, "right": right, "inside": inside})
    return rows


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for kind in dict.fromkeys(r["kind"] for r in rows):
        for verify in (False, True):
            mine = [r for r in rows if r["kind"] == kind and r["verify"] == verify]
            if not mine:
                continue
            share = {
                "right": sum(r["right"] for r in mine),
                "inside": sum(r["inside"] for r in mine),
                "missed": sum(r["strength"] < 0.5 for r in mine),
                "false_alarms": sum(r["absent"] >= 0.5 for r in mine),
            }
            values = {name: round(100 * count / len(mine), 1) for name, count in share.items()}
            took = statistics.median(r["ms"] for r in mine)
            out[kind + (" verified" if verify else "")] = {"queries": len(mine), **values, "ms": round(took)}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default="captioned,speech,copies")
    parser.add_argument("--models", default="starter")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--every", type=int, default=1, help="ask only for every n-th video")
    parser.add_argument("--no-verify", action="store_true", help="the models alone")
    parser.add_argument("--raw", type=Path)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    ways = (False,) if a.no_verify else (False, True)
    for model in a.models.split(","):
        with tempfile.TemporaryDirectory() as scratch:
            rows = measure(a.folder, a.sets.split(","), model, Path(scratch) / "lib", a.seed, a.every, ways)
        if a.raw:
            a.raw.write_text(json.dumps(rows))
        if a.json:
            print(json.dumps({"model": model, **figures(rows)}))
            continue
        print(model)
        for kind, values in figures(rows).items():
            print(f"  {kind:18} {values}")


if __name__ == "__main__":
    main()
