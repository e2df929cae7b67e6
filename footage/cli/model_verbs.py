"""`footage models use`, `drop` and `compare`: changing the model of a library."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from footage.cli.display import clock, short, table
from footage.cli.models import shown
from footage.cli.options import DeviceOption, JsonOption, LibraryOption, open_library
from footage.cli.progress import display
from footage.errors import ConfigError

if TYPE_CHECKING:
    from footage.models import Compared, Used
    from footage.search import Part
    from footage.types import Moment

_NAME = typer.Argument(help="A model of `footage models`, or for example onnx:OWNER/NAME.", show_default=False)


def use(
    name: Annotated[str, _NAME],
    beside: Annotated[
        float | None,
        typer.Option(
            metavar="WEIGHT",
            help="Answer beside the model in use, with this weight, not in its place.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(help="Seconds of a window, of a model of motion [default: its own].", show_default=False),
    ] = None,
    stride: Annotated[
        float | None,
        typer.Option(help="Seconds from one window to the next [default: its own].", show_default=False),
    ] = None,
    device: DeviceOption = None,
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> int:
    """Let another model answer in this library; its vectors are made from the key frames. Run again, it goes on."""
    from footage.ingest import Progress

    progress = Progress()
    signal.signal(signal.SIGTERM, _interrupt)
    with open_library(library, device=device) as lib:
        try:
            with shown(name) as on_weights, display(progress):
                used = lib.use(
                    name,
                    beside=beside,
                    window=window,
                    stride=stride,
                    progress=progress,
                    on_weights=on_weights,
                    on_decoding=_say_why,
                )
        except KeyboardInterrupt:
            print("stopped: what is filled is kept; the same command goes on", file=sys.stderr)
            return 130
    if json_:
        print(json.dumps(used.as_dict(), ensure_ascii=False))
    else:
        _say(used)
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _say_why(reason: str) -> None:
    print(f"{reason}: the videos are decoded again where they are there", file=sys.stderr, flush=True)


def _say(used: Used) -> None:
    print(f"{used.model} answers {', '.join(used.answers)}")
    if used.videos:
        again = f", {used.decoded} of them decoded again" if used.decoded else ""
        print(f"{used.videos} videos, {used.samples} samples filled{again}", file=sys.stderr)
    if used.coarse:
        print(f"note: {used.coarse} videos are not there now; their small key frames were taken", file=sys.stderr)


def drop(name: Annotated[str, _NAME], library: LibraryOption = None, json_: JsonOption = False) -> None:
    """Free the space that a model's vectors take in this library; not of one that answers."""
    with open_library(library) as lib:
        dropped = lib.drop(name)
    print(
        json.dumps(asdict(dropped), ensure_ascii=False)
        if json_
        else f"{dropped.model} is dropped: {dropped.samples} samples in {', '.join(dropped.spaces)}"
    )


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="One model of this library.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="The other.", show_default=False)],
    queries: Annotated[
        Path, typer.Argument(metavar="QUERIES.txt", help="A query a line: words, or @FILE for a picture.")
    ],
    k: Annotated[int, typer.Option("-k", help="How many moments of each.")] = 5,
    library: LibraryOption = None,
    json_: JsonOption = False,
) -> None:
    """Show side by side what two models of this library answer."""
    parts = _parts(queries)
    with open_library(library) as lib:
        found = lib.compare(a, b, parts, k=k)
    for each in found:
        if json_:
            print(json.dumps(each.as_dict(), ensure_ascii=False))
        else:
            _show(each, a, b, k)
    if not json_:
        mean = sum(each.overlap for each in found) / len(found)
        print(f"{len(found)} queries, mean overlap@{k} {mean:.2f}", file=sys.stderr)


def _parts(queries: Path) -> list[Part]:
    from footage.search import Part

    try:
        lines = [line.strip() for line in queries.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {queries}: {error}", hint="one query a line, in UTF-8") from error
    parts = [
        Part("image", (queries.parent / line[1:].strip()).as_posix()) if line.startswith("@") else Part("text", line)
        for line in lines
        if line and not line.startswith("#")
    ]
    if not parts:
        raise ConfigError(f"no queries in {queries}", hint="one query a line: words, or @FILE for a picture")
    return parts


def _show(found: Compared, a: str, b: str, k: int) -> None:
    print(f"{found.query}  overlap@{k} {found.overlap:.2f}")
    first, second = ([_cell(m) for m in moments] for moments in found.moments)
    longest = max(len(first), len(second))
    first, second = (cells + [""] * (longest - len(cells)) for cells in (first, second))
    table((f"  {short(a)}", short(b)), [(f"  {x}", y) for x, y in zip(first, second, strict=True)], stretch=1)


def _cell(m: Moment) -> str:
    return f"{m.strength:.2f} {clock(m.start)}-{clock(m.end)} {Path(m.video.path).name}"
