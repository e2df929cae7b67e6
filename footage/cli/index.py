"""The verb that fills a library."""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from footage.cli.display import clock, mute, short
from footage.cli.models import shown
from footage.cli.options import DeviceOption, JsonOption, LibraryOption, open_library
from footage.cli.progress import display
from footage.errors import ConfigError, MediaUnreachable

if TYPE_CHECKING:
    from collections.abc import Generator

    from footage.cluster import Cluster
    from footage.config import Settings
    from footage.ingest import Progress
    from footage.types import Indexed


def index(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Video files and folders.", show_default=False)],
    library: LibraryOption = None,
    every: Annotated[float | None, typer.Option(help="Seconds between looks at the video [default: 1].")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Container key frames only: a quick first pass.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Forget files that are no longer there.")] = False,
    model: Annotated[str | None, typer.Option(help="Model of a new library (see `footage models`).")] = None,
    store: Annotated[
        str | None,
        typer.Option(help="Where a new library keeps its vectors: milvus:, http://HOST:19530 [default: a directory]."),
    ] = None,
    device: DeviceOption = None,
    workers: Annotated[int | None, typer.Option(help="Files decoded at the same time [default: 2].")] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS|local",
            help="Decode and encode on the machines of this Ray cluster, HOST:PORT, or on all cores here: local.",
            show_default=False,
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost",
            metavar="CORE-HOURS",
            help="With --ray: refuse a run that is estimated to cost more, and stop one that does.",
            show_default=False,
        ),
    ] = None,
    json_: JsonOption = False,
) -> int:
    """Index videos: only new and changed files are done; run it again at any time, also after a crash."""
    from footage.ingest import Progress

    if max_cost is not None and ray is None:
        raise ConfigError("--max-cost is for --ray", hint="without a cluster, index fewer files at a time")
    progress = Progress()
    results: list[Indexed] = []
    signal.signal(signal.SIGTERM, _interrupt)
    with open_library(library, every=every, fast=fast or None, workers=workers, device=device) as lib:
        new = lib.stamp is None

        def show(result: Indexed) -> None:
            results.append(result)
            if json_:
                print(json.dumps(result.as_dict(), ensure_ascii=False), flush=True)
            elif result.status != "unchanged":
                print(_index_line(result), flush=True)

        try:
            with (
                shown(model or lib.settings.model) as on_weights,
                _cluster(ray, max_cost, lib.settings, progress) as on,
                display(progress),
            ):
                lib.index(
                    paths,
                    prune=prune,
                    model=model,
                    store=store,
                    progress=progress,
                    on_file=show,
                    on_weights=on_weights,
                    on=on,
                )
        except KeyboardInterrupt:
            return _stopped(results)
        except BrokenPipeError:
            mute()
            print("stopped: nobody reads the output any more; the same command goes on", file=sys.stderr)
            return 1
        if progress.draining.is_set():
            return _stopped(results)
        if new and lib.stamp is not None:
            told = [f"model {lib.stamp.model} ({lib.stamp.why})"]
            told += [
                f"{m.name} for {', '.join(lib.stamp.role_of(m))} ({m.why})" for m in lib.stamp.answering[1:] if m.why
            ]
            told += [f"vectors in {lib.stamp.store}"] * bool(lib.stamp.store)
            print(f"new library: {lib.path}, {'; '.join(told)}", file=sys.stderr)
    if not json_:
        print(_summary(results, progress), file=sys.stderr)
    failed = [r.error for r in results if r.status == "failed"]
    away = bool(failed) and len(failed) == len(results) and all(isinstance(e, MediaUnreachable) for e in failed)
    return 3 if away else 1 if failed else 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _stopped(results: list[Indexed]) -> int:
    done = sum(r.status == "indexed" for r in results)
    print(f"stopped: {done} files indexed so far are kept; the same command goes on", file=sys.stderr)
    return 130


@contextmanager
def _cluster(
    address: str | None, max_cost: float | None, settings: Settings, progress: Progress
) -> Generator[Cluster | None]:
    """The machines of `--ray`, while it lasts; the first Ctrl-C lets them finish what they are at."""
    if address is None:
        yield None
        return
    from footage.cluster import Cluster

    def drain(*_: object) -> None:
        if progress.draining.is_set():
            raise KeyboardInterrupt
        progress.draining.set()
        print("finishing the videos that are begun; Ctrl-C again drops them", file=sys.stderr, flush=True)

    if address == "local":
        print("starting Ray on this machine", file=sys.stderr, flush=True)
    with Cluster(address, max_cost=max_cost, library=settings) as cluster:
        before = signal.signal(signal.SIGINT, drain)
        try:
            yield cluster
        finally:
            signal.signal(signal.SIGINT, before)
            for note in cluster.notes:
                print(f"warning: {note}", file=sys.stderr)
            spent, estimated = cluster.core_hours
            print(f"{spent:.3g} core-hours (estimated: {estimated:.3g})", file=sys.stderr)


def _index_line(r: Indexed) -> str:
    line = f"{r.status:9} {short(r.path)}"
    if r.status in ("indexed", "moved"):
        line += f"  {clock(r.seconds)}, {r.samples} samples"
    if r.error is not None:
        line += f"\n          {r.error.message}" + (f" ({r.error.hint})" if r.error.hint else "")
    return line + (f"\n          warning: {r.warning}" if r.warning else "")


def _summary(results: list[Indexed], progress: Progress) -> str:
    counts = {
        s: sum(r.status == s for r in results)
        for s in ("indexed", "unchanged", "moved", "failed", "vanished", "pruned")
    }
    parts = [f"{n} {name}" for name, n in counts.items() if n]
    seconds = time.monotonic() - progress.started
    video = progress.video_seconds
    speed = (
        f"; {clock(video)} of video in {seconds:.1f} s ({video / seconds:.0f}x), limited by {progress.limit}"
        if video
        else ""
    )
    hint = "\nvanished files stay searchable; --prune forgets them" if counts["vanished"] else ""
    return (", ".join(parts) or "no videos found") + speed + hint
