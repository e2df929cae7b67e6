"""The verbs for what is installed, and for the state of a library."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer

from footage.cli.options import JsonOption, LibraryOption, open_library


def migrate(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="The library's directory, or the store that it has now.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="lance:DIR, milvus:DIR (Milvus Lite) or http://HOST:19530[/DATABASE].")
    ],
    library: LibraryOption = None,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Remove the old store when the new one is used.")
    ] = False,
    json_: JsonOption = False,
) -> int:
    """Move a library's vectors to another store; run it again after an interruption, and it goes on."""
    from footage.errors import ConfigError
    from footage.stores.address import parsed

    named = parsed(source)
    is_library = named.kind == "lance" and not source.startswith("lance:")
    if is_library and library is not None:
        raise ConfigError("two libraries are named", hint="give the directory either as FROM or by --library")
    shown = _MigrationLine()
    with open_library(source if is_library else library) as lib:
        if not is_library and lib.stamp and parsed(lib.stamp.store) != named:
            raise ConfigError(
                f"the library's vectors are in {parsed(lib.stamp.store)}, not in {named}",
                hint=f"footage migrate {lib.path} {parsed(target)}",
            )
        done = lib.migrate(target, drop_old=drop_old, on_progress=shown)
    if json_:
        print(json.dumps(done.as_dict(), ensure_ascii=False))
        return 0
    print(f"{done.videos} videos, {done.samples} samples are in {done.target} now; {done.compared} were compared")
    old = "is removed" if done.dropped else "is kept; nobody uses it any more"
    print(f"{done.source} {old}", file=sys.stderr)
    return 0


class _MigrationLine:
    """How far a migration is: a line that is written over on a terminal, else one now and then."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, done: int, of: int) -> None:
        live = sys.stderr.isatty()
        now = time.monotonic()
        if done < of and now - self._last < (0.2 if live else 10.0):
            return
        self._last = now
        end = "\n" if done >= of or not live else ""
        print(f"{chr(13) if live else ''}{done}/{of} videos copied", end=end, file=sys.stderr, flush=True)


def doctor(
    library: LibraryOption = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without losing anything.")] = False,
    json_: JsonOption = False,
) -> int:
    """Check what is installed, and whether the library is whole."""
    from footage.doctor import environment

    facts = environment()
    with open_library(library) as lib:
        findings = lib.doctor(repair=repair) if lib.stamp else []
        facts["library"] = str(lib.path) if lib.stamp else f"none at {lib.path}"
        if lib.stamp:
            facts |= {"store": lib.stamp.store} if lib.stamp.store else {}
            facts["model"] = lib.encoder.row.name  # raises if this version's vectors are others
            if others := [m.name for m in lib.stamp.models if m.name not in (facts["model"], "layout")]:
                facts["models too"] = ", ".join(others)
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
