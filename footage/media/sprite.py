"""Small pictures side by side in one."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from footage.errors import CorruptMedia


def sprite(jpegs: Sequence[bytes], width: int) -> bytes:
    """Lay JPEGs of one shape side by side, each `width` pixels wide, as one JPEG.

    Raises:
        CorruptMedia: one of them cannot be decoded.
    """
    tiles: list[Image.Image] = []
    for data in jpegs:
        try:
            with Image.open(io.BytesIO(data)) as picture:
                height = max(1, round(picture.height * width / picture.width))
                tiles.append(picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
        except (OSError, ValueError, SyntaxError) as error:
            raise CorruptMedia(f"a damaged key frame: {error}", uri="", hint="run: footage doctor --repair") from error
    sheet = Image.new("RGB", (width * len(tiles), max(tile.height for tile in tiles)))
    for column, tile in enumerate(tiles):
        sheet.paste(tile, (column * width, 0))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=80)
    return out.getvalue()
