"""`footage models`: which models there are, and bringing their weights here."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from footage.cli.display import table
from footage.config import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from footage.encoders import EncoderRow
    from footage.encoders.weights import Step

app = typer.Typer(help="List the models, fetch their weights, export them, and change the model of a library.")

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
_EVERY = 10.0  # seconds between two lines of progress where there is no terminal


@app.callback(invoke_without_command=True)
def _list(context: typer.Context, json_: JsonOption = False) -> None:
    """List the models that a library can be made with."""
    if context.invoked_subcommand is not None:
        return
    from footage.encoders.hub import from_environment
    from footage.encoders.rows import FAMILIES, ROWS
    from footage.encoders.weights import is_here

    cache, hub = _cache_dir(), from_environment()
    here = {name: is_here(row, cache, hub=hub) for name, row in ROWS.items()}
    if json_:
        for row in ROWS.values():
            print(json.dumps({**_facts(row), "here": here[row.name]}, ensure_ascii=False))
        for family in FAMILIES:
            print(json.dumps({"name": f"{family.prefix}:...", "family": True, "summary": family.summary}))
        return
    lines = [_line(row, here[row.name]) for row in ROWS.values()]
    lines += [(f"{f.prefix}:...", "", "", "", "", "", f"{f.summary}: {f.prefix}:{f.rest}", "") for f in FAMILIES]
    table(("model", "answers", "languages", "size", "here", "licence", "what it is", "from"), lines, stretch=5)


def _line(row: EncoderRow, here: bool) -> tuple[str, ...]:
    size = f"{row.size_mb:,.0f} MB" if row.size_mb else "none"
    state = "yes" if here else row.install or "pull"
    licence = row.licence + (" (restricted)" if row.restricted else "")
    answers = ", ".join(f"{'/'.join(space.answers)} {space.dim}" for space in row.spaces)
    source = urlsplit(row.source).hostname or row.source  # the whole address is in --json
    return row.name, answers, " ".join(row.languages), size, state, licence, row.summary, source


def _facts(row: EncoderRow) -> dict[str, Any]:
    facts = {k: v for k, v in asdict(row).items() if k != "factory"}
    window = asdict(row.window) if row.window is not None else None
    return {**facts, "dim": row.dim, "answers": row.answers, "window": window}


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A model of `footage models`, or for example onnx:OWNER/NAME.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="PATH", help="Take the files from this folder, or the one file.", show_default=False
        ),
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read its licence, which restricts use, and agree.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Fetch the weights of a model; an interrupted download goes on where it was."""
    from footage.encoders import lookup
    from footage.encoders.weights import pull as pull_weights

    row = lookup(name)
    with shown(row.name) as on_progress:
        found = pull_weights(row, cache_dir=_cache_dir(), source=source, accept=accept_licence, on_progress=on_progress)
    if json_:
        facts = {"model": row.name, "folder": str(found.folder), "bytes": found.size_bytes, "source": found.source}
        print(json.dumps({**facts, "revision": found.revision, "unpinned": found.unpinned}, ensure_ascii=False))
        return
    print(f"{row.name}  {megabytes(found.size_bytes)}  {found.folder}")
    if found.unpinned:
        print(
            f"note: no published digest for {len(found.unpinned)} of its files; what came is recorded, and any change "
            "from now on is an error",
            file=sys.stderr,
        )


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A model on torch; with --int8 also an ONNX one.", show_default=False)],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A folder that does not exist.", show_default=False)],
    int8: Annotated[
        bool, typer.Option("--int8", help="Products of matrices in 8-bit integers: quicker; another space.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Write a model that runs on torch as ONNX, compared with torch; `--model onnx:DIR` then uses it without torch."""
    from footage.encoders.export import export as write

    def tell(step: str) -> None:
        print(f"{name}: {step}", file=sys.stderr, flush=True)

    made = write(name, to, int8=int8, cache_dir=_cache_dir(), on_step=tell)
    if json_:
        print(json.dumps(made.as_dict(), ensure_ascii=False))
        return
    print(f"onnx:{made.folder}  {megabytes(made.size_bytes)}")
    apart = ", ".join(f"{kind} {most:.0e}" for kind, most in made.apart.items())
    print(f"largest difference from torch: {apart}", file=sys.stderr)
    for kind, (low, mean) in made.agreement.items():
        print(f"int8 against float, {kind}: cosine {mean:.4f} on average, {low:.4f} at least", file=sys.stderr)


def _cache_dir() -> Path | None:
    cache = load(os.environ).cache
    return Path(cache).expanduser() if cache else None


class shown:
    """Show how a download goes on stderr: a live line on a terminal, else a plain line now and then."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._told = 0.0
        self._live = False

    def __enter__(self) -> Callable[[Step], None]:
        return self.tell

    def __exit__(self, *_: object) -> None:
        if self._live:
            print(file=sys.stderr)

    def tell(self, step: Step) -> None:
        """Show one step; the first one says what is fetched, and how large it is."""
        now = time.monotonic()
        if not self._told:
            size = f", {megabytes(step.total_bytes)}" if step.total_bytes else ""
            print(f"fetching {self.name}{size}", file=sys.stderr, flush=True)
            self._told = now
        terminal = sys.stderr.isatty()
        if now - self._told < (0.2 if terminal else _EVERY) and step.file:
            return
        self._told = now
        part = f"{step.done_bytes / step.total_bytes:4.0%} of " if step.total_bytes else ""
        line = f"  {part}{megabytes(step.total_bytes or step.done_bytes)}  {step.file}"
        if terminal:
            print(f"\r{line:<70.70}", end="", file=sys.stderr, flush=True)
            self._live = True
        elif step.file:
            print(line, file=sys.stderr, flush=True)


def megabytes(count: int) -> str:
    """A size for people."""
    return f"{count / 1e6:,.1f} MB" if count < 1e8 else f"{count / 1e6:,.0f} MB"
