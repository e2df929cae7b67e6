"""Does a clip find other clips of its action? Each clip of a labelled folder is asked against all the others.

    python bench/quality_motion.py FOLDER [--model opencv-flow] [--labels kick,point]

FOLDER holds one folder of clips a label. For what the clips show, how they move, and both: the share of clips whose
first answer has their label, and the mean average precision over all the others.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import get_args

import numpy as np

from footage.config import Settings
from footage.library import Library
from footage.search import Like, Part
from footage.types import Video, Where


def label(video: Video) -> str:
    return Path(video.path).parent.name


def asked(lib: Library, video: Video, others: list[Video], like: Like) -> tuple[bool, float]:
    """Whether the first answer has the label of the clip, and the average precision."""
    where = Where(videos=tuple(v.id for v in others))
    found = lib.search(parts=[Part("video", video.path, like=like)], k=1000, per_video=1, where=where, align=False)
    right = np.array([label(m.video) == label(video) for m in found], bool)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    relevant = sum(label(v) == label(video) for v in others)
    return bool(right[:1].any()), float(precision[right].sum() / relevant)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="opencv-flow")
    parser.add_argument("--labels", help="only these folders")
    options = parser.parse_args()
    labels = options.labels.split(",") if options.labels else [p.name for p in options.folder.iterdir() if p.is_dir()]
    with (
        tempfile.TemporaryDirectory() as place,
        Library.open(Path(place) / "library", settings=Settings(model="starter")) as lib,
    ):
        lib.index([options.folder / name for name in labels], model=options.model)
        videos = [v for v in lib.videos() if sum(label(o) == label(v) for o in lib.videos()) > 1]
        print(f"{len(videos)} clips of {len({label(v) for v in videos})} labels, {options.model}")
        for like in get_args(Like):
            told = [asked(lib, v, [o for o in videos if o.id != v.id], like) for v in videos]
            first, precision = (np.mean([each[i] for each in told]) for i in (0, 1))
            each = {
                name: np.mean([t[1] for t, v in zip(told, videos, strict=True) if label(v) == name]) for name in labels
            }
            rest = ", ".join(f"{name} {value:.2f}" for name, value in each.items())
            print(f"{like:9} first answer right {first:.2f}, mAP {precision:.2f} ({rest})")


if __name__ == "__main__":
    main()
