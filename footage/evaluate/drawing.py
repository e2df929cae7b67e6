"""What Pillow does to pictures, RGB uint8 (h, w, 3): turning, blurring, and drawing words and signs over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

if TYPE_CHECKING:
    from footage.types import UInt8


def scaled(picture: UInt8, width: int, height: int) -> UInt8:
    """Scaled to a size, smoothly."""
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))


def turned(picture: UInt8, degrees: float) -> UInt8:
    """Turned counter-clockwise over black; quarter turns change the shape, other angles keep it."""
    quarter = degrees % 90 == 0
    return np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BILINEAR, expand=quarter))


def blurred(picture: UInt8, radius: float) -> UInt8:
    """Gaussian blur, by repeated boxes; `radius` in pixels."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def lettered(width: int, height: int, words: str, share: float, at: tuple[float, float], colour: int) -> UInt8:
    """An overlay (height, width, 4) with words on it, whose letters take `share` of the height; `at` is 0..1 each."""
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(8.0, share * height))
    left, top, right, bottom = draw.multiline_textbbox((0, 0), words, font=font, stroke_width=1)
    where = ((width - right + left) * at[0] - left, (height - bottom + top) * at[1] - top)
    shade = tuple(int(c) for c in np.random.default_rng(colour).integers(128, 256, 3))
    draw.multiline_text(where, words, fill=(*shade, 255), font=font, stroke_width=1, stroke_fill=(0, 0, 0, 255))
    return np.asarray(image)


def sign(width: int, height: int, seed: int, share: float, at: tuple[float, float]) -> UInt8:
    """An overlay (height, width, 4) with a made-up station logo, `share` of the height large."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    side = max(6, round(share * height))
    x, y = round((width - side) * at[0]), round((height - side) * at[1])
    first, second = ((*(int(c) for c in rng.integers(0, 256, 3)), 235) for _ in range(2))
    draw.rounded_rectangle((x, y, x + side, y + side), side // 5, fill=first)
    inside = (x + side // 5, y + side // 5, x + side - side // 5, y + side - side // 5)
    (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(inside, fill=second)
    draw.text(
        (x + side * 0.36, y + side * 0.25), chr(65 + seed % 26), fill=first, font=ImageFont.load_default(side / 2)
    )
    return np.asarray(image)


def test_card(width: int, height: int) -> UInt8:
    """Colour bars over a ramp of greys and a circle, as stations show before a programme."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    bars = ("#c0c0c0", "#c0c000", "#00c0c0", "#00c000", "#c000c0", "#c00000", "#0000c0")
    for number, colour in enumerate(bars):
        draw.rectangle((number * width // 7, 0, (number + 1) * width // 7, height * 2 // 3), fill=colour)
    for number in range(11):
        grey = round(number * 25.5)
        draw.rectangle((number * width // 11, height * 2 // 3, (number + 1) * width // 11, height), fill=(grey,) * 3)
    radius = height // 3
    centre = (width // 2, height // 2)
    draw.ellipse(tuple(c + s * radius for s in (-1, 1) for c in centre), outline="white", width=max(2, height // 90))
    return np.asarray(image)


def slide(width: int, height: int, words: str, seed: int) -> UInt8:
    """A plain page with words on it, such as a title or a static screen."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 90, 3).astype(np.uint8)
    page = np.broadcast_to(ground, (height, width, 3)).copy()
    page[: height // 12] = rng.integers(60, 200, 3)
    return laid_over(page, lettered(width, height, words, 0.11, (0.5, 0.5), seed))


def laid_over(picture: UInt8, overlay: UInt8, strength: float = 1.0) -> UInt8:
    """An overlay (h, w, 4) over a picture of the same size."""
    rows, columns = np.nonzero(overlay[..., 3])
    if not len(rows):
        return picture
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    alpha = overlay[box][..., 3:].astype(np.float32) * (strength / 255)
    out = picture.copy()
    out[box] = (picture[box] * (1 - alpha) + overlay[box][..., :3] * alpha + 0.5).astype(np.uint8)
    return out
