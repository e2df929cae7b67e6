"""The verbs for the videos of a library: list them, show one, forget some."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from footage.cli.display import clock, short, table
from footage.cli.options import JsonOption, LibraryOption, open_library

if TYPE_CHECKING:
    from footage.types import Video


def ls(library: LibraryOption = None, json_: JsonOption = False) -> None:
    """List the videos of the library, and the files that could not be indexed."""
    with open_library(library) as lib:
        videos, failures = lib.videos(), lib.failures()
    if json_:
        for video in videos:
            print(json.dumps(_video_dict(video), ensure_ascii=False))
        return
    rows = [
        (
            v.id[:12],
            clock(v.duration),
            f"{v.width}x{v.height}",
            v.codec,
            str(v.samples),
            short(v.path) + _flaw(v),
        )
        for v in videos
    ]
    table(("id", "duration", "size", "codec", "samples", "path"), rows, stretch=5)
    for failure in failures:
        print(f"failed: {short(failure['path'])}: {failure['error']}", file=sys.stderr)
    total = sum(v.duration for v in videos)
    print(f"{len(videos)} videos, {clock(total)}" + (f", {len(failures)} failed" if failures else ""), file=sys.stderr)


def _flaw(v: Video) -> str:
    return "  (broken)" if v.broken_at is not None else "  (see footage show)" if v.warning else ""


def _video_dict(v: Video) -> dict[str, Any]:
    facts = asdict(v)
    files = facts.pop("files")
    return {
        "video": facts.pop("id"),
        "path": v.path,
        "paths": [f["path"] for f in files],
        "bytes": v.size_bytes,
        **facts,
    }


def show(
    video: Annotated[str, typer.Argument(help="Id, beginning of an id, or path.")],
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> None:
    """Show what is known of one video."""
    with open_library(library) as lib:
        v = lib.get(video)
        if json_:
            times = lib.frames.times(v.id)
            print(json.dumps({**_video_dict(v), "sample_times": times}, ensure_ascii=False))
            return
    facts = {
        "id": v.id,
        "path": "\n          ".join(f.path for f in v.files),
        "duration": f"{clock(v.duration)} ({v.samples} samples, {v.sampling})",
        "picture": f"{v.width}x{v.height}, {v.fps:.2f} frames/s, {v.codec} in {v.container}",
        "bytes": f"{v.size_bytes:,}",
        "recorded": datetime.fromtimestamp(v.recorded_at).isoformat(" ", "seconds"),
        "indexed": datetime.fromtimestamp(v.indexed_at).isoformat(" ", "seconds"),
    }
    if v.warning:
        facts["warning"] = v.warning
    for name, value in facts.items():
        print(f"{name:9} {value}")


def rm(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Ids or paths.", show_default=False)],
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> None:
    """Forget videos; the files themselves are not touched."""
    with open_library(library) as lib:
        for video in lib.remove(*videos):
            print(
                json.dumps({"video": video.id, "path": video.path, "status": "removed"}, ensure_ascii=False)
                if json_
                else f"removed   {short(video.path)}"
            )
