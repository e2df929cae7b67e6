"""The verb that finds copies: of a clip, of a folder of clips."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from footage.cli.display import clock, short, table
from footage.cli.options import JsonOption, LibraryOption, open_library
from footage.cli.progress import Line
from footage.errors import MediaError, QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from footage.copies import CopySettings
    from footage.library import Library
    from footage.types import Match


_END = 0.5  # seconds at the end of a clip that no match need explain


def copies(
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="A clip, or a folder of clips.", show_default=False)
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", help="At most so many matches of one clip [default: 100].", show_default=False)
    ] = None,
    min_probability: Annotated[
        float | None, typer.Option(help="Leave out matches that are less probable [default: 0.5].", show_default=False)
    ] = None,
    sound: Annotated[bool, typer.Option("--sound", help="Also what is only heard, such as the same music.")] = False,
    within: Annotated[bool, typer.Option("--within", help="Compare the library's videos with each other.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="With --within: compare anew, though the library has not changed.")
    ] = False,
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> int:
    """Find which seconds of a clip are which seconds of your videos, however it was changed."""
    if within:
        if path is not None:
            raise QueryError("--within takes no clip", hint="leave out the path, or leave out --within")
        given = {"-k": k is not None, "--min-probability": min_probability is not None, "--sound": sound}
        if any(given.values()):
            of_clips = ", ".join(name for name, is_given in given.items() if is_given)
            raise QueryError(f"--within takes no {of_clips}", hint="these are for a search with a clip: leave them out")
        with open_library(library) as lib:
            return _within(lib, again=again, json_=json_)
    if path is None:
        raise QueryError("no clip to look for", hint="give a file or a folder, or --within")
    if again:
        raise QueryError("--again is for --within", hint="leave it out: a clip is always looked for anew")
    from footage.copies import CopySettings

    settings = CopySettings(sound=sound)
    settings = settings if k is None else replace(settings, k=k)
    settings = settings if min_probability is None else replace(settings, min_probability=min_probability)
    with open_library(library) as lib:
        return _of_clips(lib, path, settings, json_=json_)


def _of_clips(lib: Library, path: str, settings: CopySettings, *, json_: bool) -> int:
    finder = lib.copy_finder(settings)
    clips, failed, total = finder.clips(path), 0, 0
    for number, clip in enumerate(clips, 1):
        with Line(f"{short(clip)} ({number} of {len(clips)})" if len(clips) > 1 else short(clip)) as told:
            finder.on_progress = told
            try:
                matches = finder.find(clip)
            except MediaError as error:
                if len(clips) == 1:
                    raise
                failed += 1
                name = "" if clip in error.message else f"{short(clip)}: "
                print(f"failed: {name}{error.message}", file=sys.stderr)
                continue
        total += len(matches)
        _show(matches, clip if len(clips) > 1 else "", json_=json_)
        if warning := _unread(clip, matches):
            print(f"warning: {short(clip)}: {warning}; of what lies behind it, copies may be missed", file=sys.stderr)
    if not total:
        print("no copies found", file=sys.stderr)
    return 1 if failed else 0


def _unread(clip: str, matches: Sequence[Match]) -> str:
    """Where a clip is damaged, if that may be why nothing more of it was found."""
    from footage.media import open_video

    with open_video(clip) as reader:
        # A clip that is explained to its end need not be read a second time.
        explained = max((m.query_end for m in matches), default=0.0)
        if reader.info.duration and explained > reader.info.duration - _END:
            return ""
        for _ in reader.frames():
            pass
        return reader.warning if reader.broken_at is not None else ""


def _within(lib: Library, *, again: bool, json_: bool) -> int:
    with Line("comparing") as told:
        inside, groups = lib.copies_within(
            again=again, on_progress=lambda what, done, of: told.text(f"{what} {done} of {of}")
        )
    if json_:
        for match in inside.matches:
            print(json.dumps({"match": match.as_dict()}, ensure_ascii=False))
        for group in groups:
            print(json.dumps({"group": group.as_dict()}, ensure_ascii=False))
        for stretches in inside.shared:
            print(json.dumps({"shared": [s.as_dict() for s in stretches]}, ensure_ascii=False))
        return 0
    for number, group in enumerate(groups, 1):
        print(f"group {number}: keep {short(group.copies[0].video.path)} ({group.as_dict()['why']})")
        rows = [
            (
                c.kind,
                f"{c.covered:.0%}",
                f"{c.video.width}x{c.video.height}",
                clock(c.video.duration),
                short(c.video.path),
            )
            for c in group.copies
        ]
        table(("kind", "covered", "size", "duration", "video"), rows, stretch=4)
    for stretches in inside.shared:
        print(f"shared material, in {len({s.video.id for s in stretches})} videos:")
        rows = [(f"{clock(s.start)}-{clock(s.end)}", short(s.video.path)) for s in stretches]
        table(("where", "video"), rows, stretch=1)
    found = f"{_count(groups, 'group')} of copies, {_count(inside.shared, 'piece')} of shared material"
    print(f"{found}; no file was touched", file=sys.stderr)
    return 0


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}" if len(things) == 1 else f"{len(things)} {name}s"


def _show(matches: Sequence[Match], clip: str, *, json_: bool) -> None:
    if json_:
        for match in matches:
            print(json.dumps(match.as_dict(), ensure_ascii=False), flush=True)
        return
    rows = [
        (
            f"{m.probability:.2f}",
            f"{clock(m.query_start)}-{clock(m.query_end)}",
            f"{clock(m.start)}-{clock(m.end)}",
            f"{m.speed:.2f}x" + (" mirrored" if m.mirrored else ""),
            ", ".join(m.evidence),
            short(m.video.path),
        )
        for m in matches
    ]
    if clip and rows:
        print(f"{short(clip)}:")
    table(("probability", "in the clip", "in the video", "speed", "found by", "video"), rows, stretch=5)
