"""What the verbs share: options, and the library that they name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from footage.config import load

if TYPE_CHECKING:
    from footage.library import Library


LibraryOption = Annotated[
    str | None, typer.Option("--library", help="Directory of the library [default: .footage, or FOOTAGE_LIBRARY].")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="Where models run: auto, cpu, cuda, mps [default: auto, or FOOTAGE_DEVICE].", show_default=False),
]
AllowDirOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-dir", help="A folder that may be indexed, or the URL of one; may be repeated.", show_default=False
    ),
]


def open_library(library: str | None, **arguments: Any) -> Library:
    """Open the library that an option, the environment or footage.toml names."""
    settings = load(os.environ, library=library, **arguments)
    from footage.library import Library

    return Library.open(settings.library, settings=settings)
