"""The verb that finds moments."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from footage.cli.asking import filters, query_parts
from footage.cli.display import clock, short, table
from footage.cli.options import JsonOption, LibraryOption, open_library
from footage.cli.progress import Line
from footage.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from footage.types import Moment


def search(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]", help="Words for the moment; '2:red car' gives them weight 2.", show_default=False
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--text", help="More words, as a part of their own; may be repeated.", show_default=False),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image", help="A picture of the moment; '2:FILE' for weight 2; may be repeated.", show_default=False
        ),
    ] = None,
    video: Annotated[
        list[str] | None, typer.Option("--video", help="A clip of it; may be repeated.", show_default=False)
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--not", help="Words for what must not be in it; may be repeated.", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many moments.")] = 10,
    page: Annotated[int, typer.Option(help="Which page of k moments.")] = 1,
    per_video: Annotated[int, typer.Option(help="At most so many moments of one video.")] = 3,
    inside: Annotated[
        list[str] | None,
        typer.Option(
            "--in",
            metavar="PATH_GLOB",
            help="Only paths that match, e.g. 'trips/*' or a folder name; may be repeated.",
            show_default=False,
        ),
    ] = None,
    after: Annotated[str | None, typer.Option(help="Recorded at or after: 2024, 2024-05-31, 2024-05-31T18:00.")] = None,
    before: Annotated[str | None, typer.Option(help="Recorded before.")] = None,
    min_duration: Annotated[str | None, typer.Option(help="Videos at least this long: 90, 1:30 or 2:00:00.")] = None,
    max_duration: Annotated[str | None, typer.Option(help="Videos at most this long.")] = None,
    min_size: Annotated[str | None, typer.Option(help="Files at least this large: 500k, 20M, 3G.")] = None,
    max_size: Annotated[str | None, typer.Option(help="Files at most this large.")] = None,
    verify: Annotated[
        bool | None,
        typer.Option(
            "--verify/--no-verify",
            help="Compare the best answers to --image with it by keypoints (pip install 'footage[opencv]').",
            show_default=False,
        ),
    ] = None,
    like: Annotated[
        bool,
        typer.Option(
            "--like",
            help="What is of the same kind as --image or --video, not the very frames; weak ones too.",
        ),
    ] = False,
    align: Annotated[
        bool | None,
        typer.Option(
            "--align/--no-align",
            help="Say which seconds of the clip a moment shows, to the frame [default: of one --video alone].",
            show_default=False,
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Show every copy of a moment (footage copies --within finds them).")
    ] = False,
    weak: Annotated[bool, typer.Option("--weak", help="Show also what is more likely wrong than right.")] = False,
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> None:
    """Find moments by words, a picture, a clip, or all of them together."""
    if page < 1:
        raise QueryError(f"page is {page}, but the first one is 1")
    if verify and not image:
        raise QueryError("without a picture there is nothing to verify", hint="give one with --image FILE")
    if like and not (image or video):
        raise QueryError("only pictures and clips have a likeness", hint="give one with --image FILE or --video FILE")
    if align and (like or len(video or []) != 1 or text or also or image or exclude):
        raise QueryError(
            "only one clip alone can be aligned", hint="give one --video FILE, and nothing else to look for"
        )
    with open_library(library) as lib:
        from footage.search import WEAK

        parts = query_parts(text, also, image, video, exclude)
        # Minutes of a clip take their time; words and pictures do not.
        with Line(short(video[0]) if video else "") as told:
            moments = lib.search(
                parts=[replace(part, like="kind") for part in parts] if like else parts,
                where=filters(inside, after, before, (min_duration, max_duration), (min_size, max_size)),
                k=k,
                offset=(page - 1) * k,
                per_video=per_video,
                verify=verify,
                collapse=not all_,
                align=align is not False,
                on_progress=told,
            )
    strong = [m for m in moments if m.strength >= WEAK]
    if json_:
        for moment in moments:
            print(json.dumps(moment.as_dict(), ensure_ascii=False))
    else:
        _show_moments(moments if weak or like else strong)
    if moments and not strong and not like:
        hint = "" if weak or json_ else f"; --weak shows the nearest {len(moments)}"
        print(f"nothing in this library looks like that{hint}", file=sys.stderr)
    elif not moments:
        print("nothing found" + (" with these filters" if page == 1 else " on this page"), file=sys.stderr)


def _show_moments(moments: Iterable[Moment]) -> None:
    rows = [
        (
            f"{m.strength:.2f}",
            f"{clock(m.start)}-{clock(m.end)}",
            clock(m.at),
            short(m.video.path) + _also(m),
            _found_by(m),
        )
        for m in moments
    ]
    table(("strength", "moment", "best frame", "video", "found by"), rows, stretch=3)


def _found_by(moment: Moment) -> str:
    match = moment.match
    if match is None:
        return ", ".join(f"{e.channel} {e.score:.2f}" for e in moment.evidence)
    seconds = f"seconds {clock(match.query_start)}-{clock(match.query_end)} of the clip"
    mirrored = ["mirrored"] if match.mirrored else []
    return ", ".join([seconds, f"{match.speed:.2f}x", *mirrored, *match.evidence])


def _also(moment: Moment) -> str:
    if not moment.also:
        return ""
    times = {clock(at) for _, at in moment.also}
    paths = {short(video.path) for video, _ in moment.also}
    where = f"in {paths.pop()}" if len(paths) == 1 else f"in {len(paths)} files"
    often = f"{len(moment.also)} times " if len(moment.also) > len({v.id for v, _ in moment.also}) else ""
    return f" (also at {times.pop()} {where})" if len(times) == 1 else f" (also {often}{where})"
