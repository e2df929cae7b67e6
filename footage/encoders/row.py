"""What is known of a model without loading it: the types of the rows in `rows.py` and `rows_torch.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from footage.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from footage.types import Space, Window


MANY = ("en", "zh", "many more")
"""The languages of a model that answers words in some hundred of them."""


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
    modules: tuple[str, ...] = ()  # what `install` brings, as it is imported; looked for before it is called here
    variant: str = ""  # which of several files of one repository, such as a quantised one

    @property
    def answers(self) -> tuple[str, ...]:
        """What may be asked: text, image, copy, window; in the order of the spaces."""
        return tuple(dict.fromkeys(kind for space in self.spaces for kind in space.answers))

    @property
    def window(self) -> Window | None:
        """What it looks at in place of pictures; None: pictures."""
        return self.spaces[0].window

    def windows(self, seconds: float | None, stride: float | None) -> Window:
        """What it looks at where somebody asks for other windows than its own; None leaves that as it is.

        Raises:
            ConfigError: it looks at single pictures, or the windows are out of range or would leave gaps.
        """
        if self.window is None:
            raise ConfigError(
                f"{self.name} looks at single pictures, not at windows", hint="leave out `window` and `stride`"
            )
        return self.window.of(seconds, stride)

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
