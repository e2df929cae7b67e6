"""The command line: the verbs of `Library`, with data on stdout, progress and errors on stderr.

Only this file prints or exits. It must import nothing heavy at the top: `footage --help` answers at once.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from footage import __version__, cli_models
from footage.config import load
from footage.errors import ConfigError, FootageError, QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from footage.ingest import Progress
    from footage.library import Library
    from footage.types import Indexed, Moment, Video, Where

# Newer versions of typer carry their own click, so that only typer's names lead to the exceptions that are raised.
_UsageError: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="footage",
    help="Find any moment in your video: index a folder once, then search it by words, a picture or a clip.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich costs a third of the time in which --help must answer
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(cli_models.app, name="models")

LibraryOption = Annotated[
    str | None, typer.Option("--library", help="Directory of the library [default: .footage, or FOOTAGE_LIBRARY].")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]


def main() -> None:
    """Run the command line; exit with 0 done, 1 some files failed, 2 the request was wrong, 3 a service is away."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name need not be valid in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    # numpy reads it when it is loaded. Our products are small, and its threads only wait for each other: a search takes
    # 10 ms of processor time with one of them, 25 with two.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that went away is no accident
    except FootageError as error:
        if os.environ.get("FOOTAGE_DEBUG") == "1":
            raise
        _complain(error.message, error.hint)
        status = error.exit_status
    except _UsageError as error:
        error.show()
        status = error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        status = 130
    except (BrokenPipeError, SystemExit):  # the reader of our output went away, as `head` does; typer exits then
        _mute()
        status = 0
    _leave(status if isinstance(status, int) else 0)


def _mute() -> None:
    """Send what is left of the output nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(status: int) -> NoReturn:
    if threading.active_count() > 1:
        # A decoder that hangs in foreign code would abort the process if the interpreter were taken down around it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _complain(message: str, hint: str) -> None:
    print(f"error: {message}" + (f"\n\nhint: {hint}" if hint else ""), file=sys.stderr)


def _version(show: bool) -> None:
    if show:
        print(f"footage {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _open(library: str | None, **arguments: Any) -> Library:
    settings = load(os.environ, library=library, **arguments)
    from footage.library import Library

    return Library.open(settings.library, settings=settings)


# ------------------------------------------------------------------------------------------------------------ index


@app.command()
def index(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Video files and folders.", show_default=False)],
    library: LibraryOption = None,
    every: Annotated[float | None, typer.Option(help="Seconds between looks at the video [default: 1].")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Container key frames only: a quick first pass.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Forget files that are no longer there.")] = False,
    model: Annotated[str | None, typer.Option(help="Model of a new library (see `footage models`).")] = None,
    workers: Annotated[int | None, typer.Option(help="Files decoded at the same time [default: 2].")] = None,
    json_: JsonOption = False,
) -> int:
    """Index videos: only new and changed files are done; run it again at any time, also after a crash."""
    from footage.ingest import Progress

    progress = Progress()
    results: list[Indexed] = []
    signal.signal(signal.SIGTERM, _interrupt)
    with _open(library, every=every, fast=fast or None, workers=workers) as lib:
        new = lib.stamp is None

        def show(result: Indexed) -> None:
            results.append(result)
            if json_:
                print(json.dumps(result.as_dict(), ensure_ascii=False), flush=True)
            elif result.status != "unchanged":
                print(_index_line(result), flush=True)

        try:
            with cli_models.shown(model or lib.settings.model) as on_weights, _display(progress):
                lib.index(paths, prune=prune, model=model, progress=progress, on_file=show, on_weights=on_weights)
        except KeyboardInterrupt:
            done = sum(r.status == "indexed" for r in results)
            print(f"stopped: {done} files indexed so far are kept; the same command goes on", file=sys.stderr)
            return 130
        except BrokenPipeError:
            _mute()
            print("stopped: nobody reads the output any more; the same command goes on", file=sys.stderr)
            return 1
        if new and lib.stamp is not None:
            print(
                f"new library: {lib.path}, model {lib.stamp.model} ({lib.stamp.why})",
                file=sys.stderr,
            )
    if not json_:
        print(_summary(results, progress), file=sys.stderr)
    return 1 if any(r.status == "failed" for r in results) else 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _index_line(r: Indexed) -> str:
    line = f"{r.status:9} {_short(r.path)}"
    if r.status in ("indexed", "moved"):
        line += f"  {_clock(r.seconds)}, {r.samples} samples"
    if r.error is not None:
        line += f"\n          {r.error.message}" + (f" ({r.error.hint})" if r.error.hint else "")
    return line + (f"\n          broken: {r.warning}" if r.warning else "")


def _summary(results: list[Indexed], progress: Progress) -> str:
    import time

    counts = {
        s: sum(r.status == s for r in results)
        for s in ("indexed", "unchanged", "moved", "failed", "vanished", "pruned")
    }
    parts = [f"{n} {name}" for name, n in counts.items() if n]
    seconds = time.monotonic() - progress.started
    video = progress.video_seconds
    speed = (
        f"; {_clock(video)} of video in {seconds:.1f} s ({video / seconds:.0f}x), limited by {progress.limit}"
        if video
        else ""
    )
    hint = "\nvanished files stay searchable; --prune forgets them" if counts["vanished"] else ""
    return (", ".join(parts) or "no videos found") + speed + hint


class _display:
    """Show progress: a live line on a terminal, else a plain line now and then; always on stderr."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.stop: Callable[[], None] = lambda: None

    def __enter__(self) -> None:
        self.stop = _live(self.progress) if sys.stderr.isatty() else _plain(self.progress)

    def __exit__(self, *_: object) -> None:
        self.stop()


def _state(p: Progress) -> str:
    import time

    elapsed = max(0.1, time.monotonic() - p.started)
    running = sum((at / total) if total else 0 for at, total in list(p.current.values()))
    share = p.fraction + running / max(1, p.files) * (1 - p.fraction)
    eta = f", {_clock(elapsed * (1 - share) / share)} left" if 0.01 < share < 1 else ""
    return (
        f"{p.files_done}/{p.files} files, {_clock(p.seconds_done)} of video at {p.seconds_done / elapsed:.1f}x, "
        f"limited by {p.limit}{eta}"
    )


def _live(progress: Progress) -> Callable[[], None]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    class Line:
        def __rich__(self) -> Text:
            names = [_short(path) for path in list(progress.current)[:3]]
            return Text(
                "\n".join([_state(progress), *(f"  {name}" for name in names)]), overflow="ellipsis", no_wrap=True
            )

    live = Live(Line(), console=Console(stderr=True), refresh_per_second=5, transient=True)
    live.start()
    return live.stop


def _plain(progress: Progress) -> Callable[[], None]:
    import threading

    done = threading.Event()

    def run() -> None:
        while not done.wait(10.0):
            print(_state(progress), file=sys.stderr, flush=True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return done.set


# ----------------------------------------------------------------------------------------------------------- search


@app.command()
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
    weak: Annotated[bool, typer.Option("--weak", help="Show also what is more likely wrong than right.")] = False,
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> None:
    """Find moments by words, a picture, a clip, or all of them together."""
    if page < 1:
        raise QueryError(f"page is {page}, but the first one is 1")
    with _open(library) as lib:
        from footage.search import WEAK

        moments = lib.search(
            parts=_parts(text, also, image, video, exclude),
            where=_where(inside, after, before, (min_duration, max_duration), (min_size, max_size)),
            k=k,
            offset=(page - 1) * k,
            per_video=per_video,
        )
    strong = [m for m in moments if m.strength >= WEAK]
    if json_:
        for moment in moments:
            print(json.dumps(moment.as_dict(), ensure_ascii=False))
    else:
        _show_moments(moments if weak else strong)
    if moments and not strong:
        hint = "" if weak or json_ else f"; --weak shows the nearest {len(moments)}"
        print(f"nothing in this library looks like that{hint}", file=sys.stderr)
    elif not moments:
        print("nothing found" + (" with these filters" if page == 1 else " on this page"), file=sys.stderr)


def _parts(
    text: list[str] | None,
    also: list[str] | None,
    image: list[str] | None,
    video: list[str] | None,
    exclude: list[str] | None,
) -> list[Any]:
    from dataclasses import replace

    from footage.search import parse_part

    words = " ".join(text) if text is not None else None
    parts = [parse_part("text", w) for w in ([words] if words is not None else []) + (also or [])]
    parts += [parse_part("image", i) for i in image or []]
    parts += [parse_part("video", v) for v in video or []]
    negative = [parse_part("text", e) for e in exclude or []]
    return parts + [replace(p, weight=-p.weight) for p in negative]


def _where(
    inside: list[str] | None,
    after: str | None,
    before: str | None,
    duration: tuple[str | None, str | None],
    size: tuple[str | None, str | None],
) -> Where:
    from footage.search import parse_time
    from footage.types import Where

    return Where(
        paths=tuple(inside or ()),
        after=parse_time(after) if after else None,
        before=parse_time(before) if before else None,
        min_duration=_seconds(duration[0]),
        max_duration=_seconds(duration[1]),
        min_bytes=_bytes(size[0]),
        max_bytes=_bytes(size[1]),
    )


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        parts = [float(p) for p in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= p < math.inf for p in parts):
        raise ConfigError(f"not a duration: {text}", hint="for example 90, 1:30 or 2:00:00")
    return sum(p * 60**i for i, p in enumerate(reversed(parts)))


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    units = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
    number, unit = (text[:-1], text[-1].lower()) if text[-1:].lower() in units else (text, "")
    try:
        value = float(number) * units.get(unit, 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise ConfigError(f"not a size: {text}", hint="for example 800k, 20M or 1.5G")
    return int(value)


def _show_moments(moments: Iterable[Moment]) -> None:
    rows = [
        (
            f"{m.strength:.2f}",
            f"{_clock(m.start)}-{_clock(m.end)}",
            _clock(m.at),
            _short(m.video.path),
            ", ".join(f"{e.channel} {e.score:.2f}" for e in m.evidence),
        )
        for m in moments
    ]
    _table(("strength", "moment", "best frame", "video", "found by"), rows, stretch=3)


# ----------------------------------------------------------------------------------------------------------- export


@app.command()
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
    with _open(library) as lib:
        if searched:
            from footage.search import WEAK

            found = lib.search(
                parts=_parts(text or None, None, image, video, exclude),
                where=_where(inside, after, before, (None, None), (None, None)),
                k=k,
                per_video=per_video,
            )
            moments = found if weak else [m for m in found if m.strength >= WEAK]
            if not moments:
                hint = f"--weak takes the nearest {len(found)}" if found else ""
                raise QueryError("nothing found to export", hint=hint)
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
        failed = False
        for row in exporting.export(moments, to, how):
            failed = failed or row.error is not None
            if json_:
                print(json.dumps(row.as_dict(), ensure_ascii=False), flush=True)
            elif row.error is None:
                print(row.path, flush=True)
            else:
                print(f"failed: {_short(row.path)}: {row.error.message}", file=sys.stderr)
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
    return name, _seconds(start) or 0.0, _seconds(end) or 0.0


# ------------------------------------------------------------------------------------------------------- the others


@app.command()
def ls(library: LibraryOption = None, json_: JsonOption = False) -> None:
    """List the videos of the library, and the files that could not be indexed."""
    with _open(library) as lib:
        videos, failures = lib.videos(), lib.failures()
    if json_:
        for video in videos:
            print(json.dumps(_video_dict(video), ensure_ascii=False))
        return
    rows = [
        (
            v.id[:12],
            _clock(v.duration),
            f"{v.width}x{v.height}",
            v.codec,
            str(v.samples),
            _short(v.path) + ("  (broken)" if v.warning else ""),
        )
        for v in videos
    ]
    _table(("id", "duration", "size", "codec", "samples", "path"), rows, stretch=5)
    for failure in failures:
        print(f"failed: {_short(failure['path'])}: {failure['error']}", file=sys.stderr)
    total = sum(v.duration for v in videos)
    print(f"{len(videos)} videos, {_clock(total)}" + (f", {len(failures)} failed" if failures else ""), file=sys.stderr)


def _video_dict(v: Video) -> dict[str, Any]:
    from dataclasses import asdict

    facts = asdict(v)
    files = facts.pop("files")
    return {
        "video": facts.pop("id"),
        "path": v.path,
        "paths": [f["path"] for f in files],
        "bytes": v.size_bytes,
        **facts,
    }


@app.command()
def show(
    video: Annotated[str, typer.Argument(help="Id, beginning of an id, or path.")],
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> None:
    """Show what is known of one video."""
    from datetime import datetime

    with _open(library) as lib:
        v = lib.get(video)
        if json_:
            times = lib.frames.times(v.id)
            print(json.dumps({**_video_dict(v), "sample_times": times}, ensure_ascii=False))
            return
    facts = {
        "id": v.id,
        "path": "\n          ".join(f.path for f in v.files),
        "duration": f"{_clock(v.duration)} ({v.samples} samples, {v.sampling})",
        "picture": f"{v.width}x{v.height}, {v.fps:.2f} frames/s, {v.codec} in {v.container}",
        "bytes": f"{v.size_bytes:,}",
        "recorded": datetime.fromtimestamp(v.recorded_at).isoformat(" ", "seconds"),
        "indexed": datetime.fromtimestamp(v.indexed_at).isoformat(" ", "seconds"),
    }
    if v.warning:
        facts["broken"] = f"at {_clock(v.broken_at or 0)}: {v.warning}"
    for name, value in facts.items():
        print(f"{name:9} {value}")


@app.command()
def rm(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Ids or paths.", show_default=False)],
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> None:
    """Forget videos; the files themselves are not touched."""
    with _open(library) as lib:
        for video in lib.remove(*videos):
            print(
                json.dumps({"video": video.id, "path": video.path, "status": "removed"}, ensure_ascii=False)
                if json_
                else f"removed   {_short(video.path)}"
            )


@app.command()
def doctor(
    library: LibraryOption = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without losing anything.")] = False,
    json_: JsonOption = False,
) -> int:
    """Check what is installed, and whether the library is whole."""
    from dataclasses import asdict

    from footage.doctor import environment

    facts = environment()
    with _open(library) as lib:
        findings = lib.doctor(repair=repair) if lib.stamp else []
        facts["library"] = str(lib.path) if lib.stamp else f"none at {lib.path}"
        if lib.stamp:
            facts["model"] = lib.encoder.row.name  # raises if this version's vectors are others
    open_ = [f for f in findings if not f.harmless and not f.mended]
    if json_:
        print(
            json.dumps(
                {"environment": facts, "findings": [asdict(f) for f in findings], "whole": not open_},
                ensure_ascii=False,
            )
        )
        return 1 if open_ else 0
    for name, value in facts.items():
        print(f"{name:12} {value}")
    for f in findings:
        print(f"{'mended' if f.mended else 'note' if f.harmless else 'problem':8} {f.message}")
    if any(f.mended and not f.harmless for f in findings):
        print("run `footage index` again: it makes anew what was removed", file=sys.stderr)
    elif open_:
        print("footage doctor --repair mends what can be mended", file=sys.stderr)
    elif lib.stamp:
        print("the library is whole", file=sys.stderr)
    return 1 if open_ else 0


# ------------------------------------------------------------------------------------------------------------ serve

AllowDirOption = Annotated[
    list[Path] | None,
    typer.Option("--allow-dir", help="A folder that may be indexed; may be repeated.", show_default=False),
]


@app.command()
def serve(
    library: LibraryOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine need a login.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8777,
    token: Annotated[
        str | None, typer.Option(help="Secret to log in with; better in FOOTAGE_TOKEN.", show_default=False)
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="File of NAME:HASH lines to log in with.", show_default=False)
    ] = None,
    allow_dir: AllowDirOption = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A host name of this server; may be repeated.", show_default=False)
    ] = None,
    cert: Annotated[Path | None, typer.Option(help="Certificate file, for https.", show_default=False)] = None,
    key: Annotated[Path | None, typer.Option(help="Its key file.", show_default=False)] = None,
    hash_password: Annotated[bool, typer.Option("--hash-password", help="Print the hash of a password.")] = False,
) -> None:
    """Open the web page, the REST API and the MCP endpoint on one library."""
    if hash_password:
        from footage.api.security import hasher

        print(hasher().hash(typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True)))
        return
    from footage.api.options import ServeOptions, read_users

    options = ServeOptions(
        host=host or "127.0.0.1",
        port=port,
        token=token or os.environ.get("FOOTAGE_TOKEN") or None,
        users=read_users(users) if users else {},
        allow_dirs=tuple(folder.absolute() for folder in allow_dir or []),
        hosts=tuple(name or []),
    ).check()
    from footage.api.server import listen

    with _open(library) as lib:

        def opened(address: str) -> None:
            print(f"{address}  library {_short(str(lib.path))}; Ctrl-C ends it", file=sys.stderr, flush=True)

        listen(lib, options, on_open=opened, certificate=(cert, key) if cert else None)


@app.command()
def mcp(library: LibraryOption = None, allow_dir: AllowDirOption = None) -> None:
    """Answer an agent by the Model Context Protocol on stdin and stdout."""
    from footage.api.options import ServeOptions
    from footage.mcp import serve_stdio

    options = ServeOptions(allow_dirs=tuple(folder.absolute() for folder in allow_dir or [])).check()
    with _open(library) as lib:
        serve_stdio(lib, options)


# ---------------------------------------------------------------------------------------------------------- display


def _clock(seconds: float) -> str:
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"


def _short(path: str) -> str:
    """Relative to the working directory where that is shorter; control characters made visible."""
    try:
        inside = Path(path).relative_to(Path.cwd()).as_posix()
    except ValueError:
        inside = path
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in inside)


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]], *, stretch: int) -> None:
    """A table on a terminal; aligned lines without a frame, and never shortened, anywhere else."""
    if not rows:
        return
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        for number, title in enumerate(titles):
            # On a narrow terminal the path is folded, and what follows it; numbers are never cut.
            width = None if number >= stretch else max(len(row[number]) for row in [titles, *rows])
            table.add_column(title, overflow="fold", no_wrap=number < stretch, min_width=width)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    widths = [max(len(r[i]) for r in [titles, *rows]) for i in range(len(titles))]
    for row in [titles, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
