"""`footage eval`: how good it finds, in figures."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from footage.cli.display import short, table
from footage.cli.models import shown
from footage.cli.options import JsonOption, LibraryOption, open_library
from footage.cli.progress import display
from footage.config import load
from footage.errors import ConfigError, NotIndexed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from footage.evaluate.benchmark import CopyResult, RetrievalResult, TextResult
    from footage.evaluate.judgements import Judgement
    from footage.evaluate.making import CopySet
    from footage.evaluate.mine import Way
    from footage.library import Library
    from footage.types import Match, Moment

app = typer.Typer(
    help="Measure how good it finds: copies, clips of a kind, captions.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_ModelOption = Annotated[str | None, typer.Option("--model", help="The model of the library.", show_default=False)]
_ReportOption = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE.html", help="Write a page with curves and pictures.", show_default=False),
]
_KeepOption = Annotated[
    Path | None,
    typer.Option(
        "--library",
        metavar="DIR",
        help="Keep the library, and use it again [default: a temporary one].",
        show_default=False,
    ),
]


@app.command()
def copies(
    videos: Annotated[list[str], typer.Argument(help="Videos or folders that copies are made of.")],
    seed: Annotated[int, typer.Option(min=0, help="Draws the attacks; the same seed gives the same copies.")] = 1,
    queries: Annotated[int, typer.Option(min=4, help="How many; about a quarter has no true answer.")] = 130,
    references: Annotated[int, typer.Option(min=3, help="How many videos the library has at most.")] = 80,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep the copies there.", show_default=False)
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Measure vPDQ and mean vectors beside.")] = True,
    model: _ModelOption = None,
    report: _ReportOption = None,
    library: _KeepOption = None,
    json_: JsonOption = False,
) -> int:
    """Attack copies of videos in many ways, and measure which are found, which seconds of them, and what falsely."""
    from footage.evaluate.benchmark import copy_search
    from footage.evaluate.making import MakeSettings, make

    _writable(report)
    with _place(keep) as folder, _place(library) as where:
        settings = MakeSettings(seed=seed, queries=queries, references=references)
        told = _Told()
        made = make(_files(videos), folder, settings, told)
        with _library(where, made.references, model) as (lib, unused):
            result = copy_search(
                made, _finder(lib), lib.encoder if baselines else None, _roles(lib), told, workers=settings.workers
            )
        told.end()
        _complain(result.failed)
        if json_:
            print(json.dumps(result.as_dict(), ensure_ascii=False), flush=True)
        else:
            _show_copies(made, result)
        if report:  # its pictures are those of the copies, which may be temporary
            from footage.evaluate.report import copy_page

            _write(report, copy_page(result, f"seed {seed}, {len(_files(videos))} videos given"))
    return 1 if unused or result.failed else 0


@app.command()
def retrieval(
    source: Annotated[
        Path,
        typer.Argument(metavar="FOLDER|CSV", help="A folder with a folder a label, or a CSV file with path and label."),
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="How deep the lists are.")] = 10,
    model: _ModelOption = None,
    report: _ReportOption = None,
    library: _KeepOption = None,
    json_: JsonOption = False,
) -> int:
    """Measure how well labelled clips find others of their label: each left out in turn, or gallery and query."""
    from footage.evaluate import benchmark

    _writable(report)
    clips = benchmark.labelled(source, lambda folder: _files([str(folder)]))
    gallery = [c.path for c in clips if c.split != "query"]
    with _place(library) as where, _library(where, gallery, model) as (lib, unused):
        told = _Told()
        result = benchmark.retrieval(lib, clips, told, ks=sorted({n for n in (1, 5, 10) if n < k} | {k}))
        told.end()
    _complain(result.failed)
    if json_:
        print(json.dumps(result.as_dict(), ensure_ascii=False), flush=True)
    else:
        _show_retrieval(result)
    if report:
        from footage.evaluate.report import retrieval_page

        _write(report, retrieval_page(result, str(source)))
    return 1 if unused or result.failed else 0


@app.command()
def text(
    source: Annotated[
        Path,
        typer.Argument(metavar="CAPTIONS.jsonl", help='Lines such as {"path": "a.mp4", "captions": ["a dog runs"]}.'),
    ],
    name: Annotated[str, typer.Option("--field", help="The field that holds the captions.")] = "captions",
    model: _ModelOption = None,
    report: _ReportOption = None,
    library: _KeepOption = None,
    json_: JsonOption = False,
) -> int:
    """Measure how well captions find their video among all that have captions."""
    from footage.evaluate import benchmark

    _writable(report)
    pairs = benchmark.captions(source, name)
    paths = sorted({path for path, _ in pairs})
    with _place(library) as where, _library(where, paths, model) as (lib, unused):
        if not lib.videos():
            raise ConfigError(
                f"none of the {len(paths)} files that have captions can be used: {source}",
                hint="paths in it count from its own folder",
            )
        told = _Told()
        result = benchmark.text_search(lib, pairs, len(lib.videos()), told)
        told.end()
    if json_:
        print(json.dumps(result.as_dict()), flush=True)
    else:
        _show_text(result)
    if report:
        from footage.evaluate.report import text_page

        _write(report, text_page(result, str(source)))
    return 1 if unused else 0


@app.command()
def mine(
    every: Annotated[
        str,
        typer.Option(
            metavar="SECONDS,...",
            help="Also try these samplings; the videos are indexed again, aside.",
        ),
    ] = "",
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> int:
    """Compare models, sampling and weights by the thumbs that you gave, and propose what pleases you more."""
    from footage.evaluate import mine as asking

    with open_library(library) as lib:
        judged = lib.judgements()
        stamp = lib.stamp
        models = [m.name for m in stamp.models if m.state == "complete" and m.name != "layout"] if stamp else []
        told = _Told()
        with _asker(lib, judged) as ask:
            result = asking.compare(judged, asking.ways(models, _intervals(every)), ask, told)
        told.end()
    if json_:
        print(json.dumps(result.as_dict(), ensure_ascii=False))
        return 0
    rows = [
        (
            tried.way.name,
            f"{tried.score:.3f}",
            "{:.2f}-{:.2f}".format(*tried.interval),
            "{:+.3f} to {:+.3f}".format(*tried.better),
        )
        for tried in result.tried
    ]
    table(("way", "score", "95 %", "better than now by"), rows, stretch=4)
    print(f"\n{result.judgements} judgements of {result.queries} queries: {result.why}")
    if result.proposal:
        print(f"\nin footage.toml:\n\n{asking.as_settings(result.proposal)}")
    return 0


def _intervals(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = [-1.0]
    if not all(0.02 <= seconds <= 3600 for seconds in found):
        raise ConfigError(f"not intervals in seconds: {text}", hint="for example --every 0.5,2")
    return found


@contextmanager
def _asker(lib: Library, judged: list[Judgement]) -> Generator[Callable[[Judgement, Way], list[Moment]]]:
    """Answers judged queries in any way; libraries with another sampling are made when they are first asked."""
    from footage.evaluate.mine import DEPTH
    from footage.library import Library
    from footage.search import Part

    wanted = {one.video for one in judged} | {one.query for one in judged if one.kind == "image"}
    videos = {v.id: v for v in lib.videos() if v.id in wanted}
    others: dict[float, Library] = {}
    with tempfile.TemporaryDirectory(prefix="footage-eval-", ignore_cleanup_errors=True) as name:

        def other(every: float) -> Library:
            if every not in others:
                model = lib.stamp.model if lib.stamp else "auto"
                new = Library.open(Path(name) / f"{every:g}", settings=replace(lib.settings, every=every, model=model))
                # All videos of the library, as far as they are here: fewer would be easier to tell apart.
                new.index([v.path for v in lib.videos() if Path(v.path).exists()])
                others[every] = new
            return others[every]

        def ask(one: Judgement, way: Way) -> list[Moment]:
            if one.kind == "text":
                part = Part("text", one.query)
            elif one.query in videos:
                part = Part("image", lib.picture(one.query, one.at))
            else:
                raise NotIndexed(f"the video of the query is gone: {one.query}")
            if way.weights:
                return lib.as_if(way.weights, [part], k=DEPTH)
            return (other(way.every) if way.every else lib).search(parts=[part], k=DEPTH)

        try:
            yield ask
        finally:
            for each in others.values():
                each.close()


def _show_text(result: TextResult) -> None:
    names = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "median_rank": "median rank"}
    row = tuple(f"{v:g}" if key == "median_rank" else f"{v:.3f}" for key, v in result.as_dict().items())
    table(tuple(names[key] for key in result.as_dict()), [row], stretch=4)
    low, high = result.interval
    print(f"\n{result.captions} captions, {result.videos} videos; R@10 lies in {low:.3f}-{high:.3f} (95 %)")


def _show_retrieval(result: RetrievalResult) -> None:
    rows = [(f"{k}", f"{result.recall_at_k[k]:.3f}", f"{result.mhr_at_k[k]:.3f}") for k in sorted(result.recall_at_k)]
    table(("k", "recall@k", "mHR@k"), rows, stretch=3)
    low, high = result.interval
    print(f"\nmAP over all ranks {result.map_all_ranks:.3f}, over hit ranks {result.map_hit_ranks:.3f}")
    print(f"{result.queries} queries; recall@{result.k} lies in {low:.3f}-{high:.3f} with 95 % confidence\n")
    per_class = [
        (label, f"{row['queries']:.0f}", *(f"{row[name]:.3f}" for name in ("recall", "mhr", "map_hit_ranks")))
        for label, row in result.per_class.items()
    ]
    table(("label", "queries", f"recall@{result.k}", f"mHR@{result.k}", "mAP (hits)"), per_class, stretch=5)


def _show_copies(made: CopySet, result: CopyResult) -> None:
    methods = [*([result.system] if result.system else []), *result.baselines]
    rows: list[tuple[str, ...]] = []
    for f in methods:
        timed = f.timed
        rows.append(
            (
                f.name,
                f"{f.micro_ap:.3f}",
                f"{f.micro_ap_interval[0]:.2f}-{f.micro_ap_interval[1]:.2f}",
                *(
                    f"{f.per_level[level]:.3f}" if level in f.per_level else "-"
                    for level in ("light", "medium", "strong")
                ),
                f"{f.recall_at_rate:.3f}",
                *((f"{f.segment_precision:.3f}", f"{f.segment_recall:.3f}", f"{f.segment_f1:.3f}") if timed else "---"),
                f"{f.edge_error:.3f} s" if f.edge_error is not None else "-",
                f"{f.edge_error_frames:.1f}" if f.edge_error_frames is not None else "-",
                f"{f.false_matches}/{f.pairs}",
            )
        )
    titles = ("method", "micro-AP", "95 %", "light", "medium", "strong", "R@1/1000", "seg P", "seg R", "seg F1")
    table((*titles, "edges", "frames", "false pairs"), rows, stretch=13)
    if methods:
        best = methods[0]
        print(f"\n{best.name} by attack:\n")
        attacks = [
            (
                name,
                f"{row['copies']:.0f}",
                *(f"{row[key]:.3f}" for key in ("micro_ap", "recall", "segment_f1")),
                f"{row['edge_error_s']:.3f}" if "edge_error_s" in row else "-",
            )
            for name, row in best.per_attack.items()
        ]
        table(("attack", "copies", "micro-AP", "recall", "seg F1", "edge s"), attacks, stretch=6)
    asked = sum(bool(q.rows) for q in made.queries)
    print(
        f"\n{len(made.references)} references, {asked} attacked queries, {len(made.queries) - asked} without an answer;"
        f" {len(made.left_out)} of the videos left out (copies of others, too short, or broken)."
        "\nBaselines are shown at the threshold that serves them best.",
        file=sys.stderr,
    )


# ---------------------------------------------------------------------------------------------- what they share


class _Told:
    """How far it is: one line that is written over on a terminal, else a line for each step."""

    def __init__(self) -> None:
        self._what = ""

    def __call__(self, what: str, done: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{what}: {done}/{of}\x1b[K", end="", file=sys.stderr, flush=True)
        elif what != self._what:
            print(f"{what}: {of}", file=sys.stderr, flush=True)
        self._what = what

    def end(self) -> None:
        """Leave the line."""
        if self._what and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def _place(folder: Path | None) -> Generator[Path]:
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "name a folder, or one that can be made"
            raise ConfigError(f"cannot make the folder {folder}: {error.strerror}", hint=hint) from None
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="footage-eval-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def _library(folder: Path, paths: Iterable[str], model: str | None) -> Generator[tuple[Library, int]]:
    """A library that has these files and no others, indexed as `footage index` would; and how many could not be."""
    from footage.ingest import Progress
    from footage.library import Library

    settings = load(os.environ, library=str(folder / "library"), model=model)
    wanted = sorted(set(paths))
    with Library.open(settings.library, settings=settings) as lib:
        progress = Progress()
        with shown(model or settings.model) as on_weights, display(progress):
            results = lib.index(wanted, progress=progress, on_weights=on_weights)
        others = [v.id for v in lib.videos() if not {str(Path(f.path)) for f in v.files} & set(wanted)]
        if others:
            raise ConfigError(
                f"the library has {len(others)} videos that are not part of this: {settings.library}",
                hint="give --library another directory, or none",
            )
        unused = [f"{r.path}: {r.error}" for r in results if r.status == "failed"]
        _complain(unused)
        yield lib, len(unused)


def _finder(lib: Library) -> Callable[[str], list[Match]]:
    """Copy search of this library with all that it suspects; what it decodes of the videos serves all queries."""
    from footage.copies import CopySettings

    return lib.copy_finder(CopySettings(k=1000, min_probability=0.0)).find


def _roles(lib: Library) -> Any:
    return lib.stamp.roles if lib.stamp else {}


def _files(paths: Iterable[str]) -> list[str]:
    """The files that are named, and the videos below folders."""
    from footage.catalog import Refused, scan
    from footage.media.sniff import kind_of

    found: list[str] = []
    for job in scan(paths):
        if isinstance(job, Refused):
            raise job.failure.error
        if job.named or kind_of(Path(job.file.path)) == "video":
            found.append(str(Path(job.file.path)))
    return sorted(found)


def _writable(report: Path | None) -> None:
    """Refuse a report that cannot be written before hours of work are done for it."""
    if report is None:
        return
    reason = ""
    if report.is_dir():
        reason = "it is a folder"
    elif not report.parent.is_dir():
        reason = f"there is no folder {report.parent}"
    elif not os.access(report if report.exists() else report.parent, os.W_OK):
        reason = "it is not allowed"
    if reason:
        raise ConfigError(f"cannot write {report}: {reason}", hint="name a file in a folder that is there")


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", hint="the figures are above") from None


def _complain(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"not used: {short(line)}", file=sys.stderr)
