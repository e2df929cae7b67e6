"""The verb that takes moments out of a library."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from footage.cli.asking import filters, query_parts, seconds
from footage.cli.display import short
from footage.cli.options import JsonOption, LibraryOption, open_library
from footage.errors import ConfigError, QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from footage.export import Exported
    from footage.library import Library
    from footage.search import Part
    from footage.types import Moment, Where


def export(
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]", help="Words for the moments, as for search.", show_default=False),
    ] = None,
    to: Annotated[str, typer.Option("--to", metavar="FILE|DIR", help="Where to write; '-' for a list on stdout.")] = "",
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="clip, frame, csv, json, vtt, edl, fcpxml or otio [default: by the name of the target].",
            show_default=False,
        ),
    ] = None,
    saved: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE|-", help="Moments that search --json printed.", show_default=False),
    ] = None,
    named: Annotated[
        list[str] | None,
        typer.Option(
            "--moment",
            metavar="VIDEO@START-END",
            help="One moment, e.g. talk.mp4@1:20-1:31.5; may be repeated.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option("--image", help="A picture of the moments.", show_default=False)
    ] = None,
    video: Annotated[list[str] | None, typer.Option("--video", help="A clip of them.", show_default=False)] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--not", help="Words for what must not be in them.", show_default=False)
    ] = None,
    k: Annotated[int, typer.Option("-k", help="At most so many moments.")] = 10,
    per_video: Annotated[int, typer.Option(help="At most so many moments of one video.")] = 3,
    inside: Annotated[
        list[str] | None,
        typer.Option("--in", metavar="PATH_GLOB", help="Only paths that match.", show_default=False),
    ] = None,
    after: Annotated[str | None, typer.Option(help="Recorded at or after.")] = None,
    before: Annotated[str | None, typer.Option(help="Recorded before.")] = None,
    weak: Annotated[bool, typer.Option("--weak", help="Take also what is more likely wrong than right.")] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Clips: copy from the key frame before the start, do not encode.")
    ] = False,
    pad: Annotated[float, typer.Option(help="Seconds added before and after every moment.")] = 0.0,
    height: Annotated[int, typer.Option(help="Clips: at most so many pixels high; 0 for no limit.")] = 0,
    title: Annotated[str, typer.Option(help="Title of an edit list.")] = "Footage",
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> int:
    """Take moments out: as clips, pictures, CSV, JSON, WebVTT chapters, EDL, FCPXML or OTIO."""
    from footage import export as exporting

    searched = any((text, image, video, exclude))
    if sum((searched, saved is not None, bool(named))) != 1:
        raise QueryError("give one of: something to search for, --from, or --moment", hint="footage export --help")
    if not to:
        raise ConfigError("no target", hint="--to cuts.edl, --to clips/, or --to - for stdout")
    with open_library(library) as lib:
        if searched:
            query = query_parts(text or None, None, image, video, exclude)
            within = filters(inside, after, before, (None, None), (None, None))
            moments = _found(lib, query, within, k, per_video, weak)
        elif saved is not None:
            moments = exporting.load(_lines(saved), lib.get)
        else:
            moments = [lib.moment(*_named(n)) for n in named or ()]
        if to == "-":
            if format_ is None:
                raise ConfigError("stdout has no name to tell the format", hint="--format csv, json, vtt, edl ...")
            sys.stdout.buffer.write(exporting.render(moments, format_, title=title, pad=pad))
            return 0
        how = exporting.ExportSettings(format_, fast, pad, force, title, height)
        return _report(exporting.export(moments, to, how), json_)


def _found(lib: Library, query: list[Part], within: Where, k: int, per_video: int, weak: bool) -> list[Moment]:
    from footage.search import WEAK

    found = lib.search(parts=query, where=within, k=k, per_video=per_video)
    moments = found if weak else [m for m in found if m.strength >= WEAK]
    if not moments:
        raise QueryError("nothing found to export", hint=f"--weak takes the nearest {len(found)}" if found else "")
    return moments


def _report(rows: Iterable[Exported], json_: bool) -> int:
    """Print each file as it is written; gives the exit status."""
    failed = False
    for row in rows:
        failed = failed or row.error is not None
        if json_:
            print(json.dumps(row.as_dict(), ensure_ascii=False), flush=True)
        elif row.error is None:
            print(row.path, flush=True)
        else:
            print(f"failed: {short(row.path)}: {row.error.message}", file=sys.stderr)
    return 1 if failed else 0


def _lines(source: str) -> list[str]:
    try:
        if source == "-":
            return sys.stdin.buffer.read().decode("utf-8-sig").splitlines()
        return Path(source).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"cannot read moments from {source}: {reason}") from None


def _named(moment: str) -> tuple[str, float, float]:
    """Split VIDEO@START-END; a name may have an @ and a - itself."""
    name, at, times = moment.rpartition("@")
    start, dash, end = times.partition("-")
    if not (name and at and dash):
        raise ConfigError(f"not a moment: {moment}", hint="for example talk.mp4@1:20-1:31.5, or ID@80-91.5")
    return name, seconds(start) or 0.0, seconds(end) or 0.0
