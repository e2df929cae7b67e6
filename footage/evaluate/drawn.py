"""Pieces of a report: curves and bars as SVG, pictures as data URIs; everything that is not ours is escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from footage.errors import FootageError
from footage.media import resize
from footage.media.cut import frame_at, picture_bytes

if TYPE_CHECKING:
    from footage.types import UInt8

Points = Sequence[tuple[float, float]]

COLOURS = ("#2a78d6", "#d9822b", "#4c9f70", "#b0559b")
"""Of the first, second ... curve; told apart by people who see no red or green, on light and on dark."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5c6673; --line: #d9dee5; --page: #fff; --card: #f6f8fa }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --soft: #9aa5b1; --line: #333d4a; --page: #12171e; --card: #1a212b } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 80rem; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", sans-serif }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
p { margin: .3rem 0; max-width: 46rem } .soft { color: var(--soft) }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .75rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { font-weight: 600; color: var(--soft) } th:first-child, td:first-child { text-align: left }
.row { display: flex; flex-wrap: wrap; gap: 1.5rem 2.5rem } svg { max-width: 100%; height: auto }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft) } svg .axis { stroke: var(--line) }
figure { margin: 0 } figcaption { font-size: .85rem; color: var(--soft); overflow-wrap: anywhere }
.fail { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem }
.card .pair { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem }
.card img, .card .none { width: 100%; height: 7.5rem; object-fit: contain; background: #000; border-radius: 4px }
.card .none { display: grid; place-items: center; color: #9aa5b1; font-size: .85rem }
.card p { font-size: .85rem; overflow-wrap: anywhere } .name { font-weight: 600 }
"""


def page(title: str, about: str, body: str) -> str:
    """A whole page that needs nothing from elsewhere; `body` is markup, the rest is text."""
    # The policy makes sure of it: no script, and nothing fetched.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n<p class="soft">{escape(about)}</p>\n'
        f"{body}\n</body>\n</html>\n"
    )


def section(title: str, *parts: str, about: str = "") -> str:
    """A heading, a sentence, and markup."""
    said = f'<p class="soft">{escape(about)}</p>' if about else ""
    return f"<h2>{escape(title)}</h2>{said}{''.join(parts)}"


def grid(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts."""
    head = "".join(f"<th>{escape(t)}</th>" for t in titles)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


_WIDE, _HIGH, _LEFT, _BOTTOM = 420, 300, 44, 40


def curves(named: Mapping[str, Points], across: str, up: str, *, most: float = 1.0) -> str:
    """Lines in one picture, from 0 to `most` across and 0 to 1 up, with a legend."""
    wide, high = _WIDE - _LEFT - 12, _HIGH - _BOTTOM - 12
    out = [f'<svg viewBox="0 0 {_WIDE} {_HIGH + 20 * len(named)}" width="{_WIDE}" role="img">']
    for step in range(6):
        x, y = _LEFT + wide * step / 5, 12 + high * (1 - step / 5)
        out.append(f'<line class="axis" x1="{_LEFT}" x2="{_LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{step / 5:.1f}</text>')
        out.append(f'<text x="{x:.1f}" y="{high + 28}" text-anchor="middle">{_short(most * step / 5)}</text>')
    out.append(f'<text x="{_LEFT + wide / 2}" y="{high + 45}" text-anchor="middle">{escape(across)}</text>')
    out.append(f'<text transform="translate(11 {12 + high / 2}) rotate(-90)" text-anchor="middle">{escape(up)}</text>')
    for number, (name, points) in enumerate(named.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(
            f"{_LEFT + wide * min(max(x / most, 0), 1):.1f},{12 + high * (1 - min(max(y, 0), 1)):.1f}"
            for x, y in points
        )
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = _HIGH + 12 + 20 * number
        out.append(f'<rect x="{_LEFT}" y="{y - 9}" width="18" height="4" rx="2" fill="{colour}"/>')
        out.append(f'<text x="{_LEFT + 26}" y="{y - 2}">{escape(name)}</text>')
    return "".join(out) + "</svg>"


def _short(value: float) -> str:
    return f"{value:.1f}" if value != round(value) else f"{value:.0f}"


def bars(named: Mapping[str, Sequence[float]], series: Sequence[str]) -> str:
    """Values of 0 to 1 side by side for each name, the first series first."""
    thick, gap, left, wide = 9, 9, 130, 300
    step = thick * len(series) + gap
    high = step * len(named) + 10 + 20 * len(series)
    out = [f'<svg viewBox="0 0 {left + wide + 50} {high}" width="{left + wide + 50}" role="img">']
    for row, (name, values) in enumerate(named.items()):
        top = row * step + 4
        out.append(f'<text x="{left - 8}" y="{top + step / 2}" text-anchor="end">{escape(name)}</text>')
        for number, value in enumerate(values):
            y, width = top + number * thick, wide * min(max(value, 0), 1)
            out.append(
                f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{thick - 2}" rx="2" '
                f'fill="{COLOURS[number % len(COLOURS)]}"/>'
            )
            out.append(f'<text x="{left + width + 5:.1f}" y="{y + 8}" style="font-size:9px">{value:.2f}</text>')
    for number, name in enumerate(series):
        y = step * len(named) + 20 + 18 * number
        out.append(f'<rect x="{left}" y="{y - 9}" width="18" height="7" rx="2" fill="{COLOURS[number]}"/>')
        out.append(f'<text x="{left + 26}" y="{y - 1}">{escape(name)}</text>')
    return "".join(out) + "</svg>"


def thumbnail(path: str, at: float, *, side: int = 240) -> str:
    """A frame of a video as an `img` with a data URI; what cannot be read is said instead."""
    try:
        picture = frame_at(path, max(0.0, at))
    except (FootageError, OSError):
        return '<div class="none">no picture</div>'
    return image(picture, side)


def image(picture: UInt8, side: int = 240) -> str:
    """A picture as an `img` with a data URI, at most `side` pixels long."""
    height, width = picture.shape[:2]
    scale = min(1.0, side / max(height, width))
    small = resize(picture, max(1, round(width * scale)), max(1, round(height * scale)))
    data = base64.b64encode(picture_bytes(small, ".jpg")).decode("ascii")
    return f'<img alt="" src="data:image/jpeg;base64,{data}">'


def card(title: str, left: tuple[str, str], right: tuple[str, str], note: str = "") -> str:
    """Two pictures side by side; each is (markup, caption as text)."""
    pair = "".join(
        f"<figure>{markup}<figcaption>{escape(said)}</figcaption></figure>" for markup, said in (left, right)
    )
    name = f'<p class="name">{escape(title)}</p>'
    return f'<div class="card">{name}<div class="pair">{pair}</div><p>{escape(note)}</p></div>'


def cards(made: Sequence[str]) -> str:
    """Cards in a grid."""
    return f'<div class="fail">{"".join(made)}</div>' if made else "<p>None.</p>"
