"""The verbs for what is installed, and for the state of a library."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from footage.cli.options import JsonOption, LibraryOption, open_library


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
