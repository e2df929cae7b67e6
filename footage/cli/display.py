"""How times, paths and tables are printed, and what if nobody reads them."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def clock(seconds: float) -> str:
    """Seconds as 1:02.5 or 1:00:02.5."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"


def short(path: str) -> str:
    """Relative to the working directory where that is shorter; control characters made visible."""
    try:
        inside = Path(path).relative_to(Path.cwd()).as_posix()
    except ValueError:
        inside = path
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in inside)


def table(titles: tuple[str, ...], rows: list[tuple[str, ...]], *, stretch: int) -> None:
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


def mute() -> None:
    """Send what is left of the output nowhere: its reader went away."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
