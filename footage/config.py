"""Settings, and where they come from: defaults < footage.toml < FOOTAGE_* variables < arguments."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

from footage.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a user may set once instead of at every command."""

    library: str = ".footage"  # directory of the library
    model: str = "auto"  # encoder of a new library
    every: float = 1.0  # seconds between sampling candidates
    near: float | None = None  # near-duplicate threshold in grey levels, 0: keep all; None: the sampler's own
    fast: bool = False  # container key frames only
    workers: int = 2  # files decoded at the same time
    stall: float = 30.0  # seconds without progress after which a file is given up
    spool: float = 4.0  # GB of scratch on disk for each file behind a URL that is indexed; 0: none
    batch: int = 16  # pictures per forward pass
    device: str = "auto"  # where models run: cpu, cuda (or cuda:1), mps; auto: the best that there is
    verify: bool = False  # look at the best answers to a picture once more, by keypoints; wants the extra `opencv`
    window: float | None = None  # seconds of a window, of a model that looks at windows; None: the model's own
    stride: float | None = None  # seconds from one window to the next; None: as much overlap as the model's own
    frames: str = ""  # URL under which a new library keeps its key frames (s3://, gs://, az://); "": beside the vectors
    cache: str = ""  # directory for built models; "": the system's cache directory
    store: str = ""  # where a new library's vectors lie (see `footage.stores.address`); "": in the library
    store_token: str = field(default="", repr=False)  # of a server: user:password, or an API key
    store_ca: str = ""  # file with the certificate that a server's is signed by, if the system does not know it
    store_index: str = ""  # kind of index of new spaces in Milvus; "": by size and version of the server
    fuse: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    """Role (text, image, motion) -> the models that answer it together, with weights; [models.fuse] in footage.toml."""


def load(environ: Mapping[str, str], *, file: str | Path = "footage.toml", **arguments: Any) -> Settings:
    """Merge the sources of settings; arguments that are None do not count.

    Raises:
        ConfigError: an unknown name, a value of the wrong type or range, or a file that is not TOML.
    """
    settings = _merge(Settings(), _from_file(Path(file)), where=str(file))
    names = {f.name for f in fields(Settings)} - {"fuse"}
    from_env = {n: environ[f"FOOTAGE_{n.upper()}"] for n in names if environ.get(f"FOOTAGE_{n.upper()}")}
    settings = _merge(settings, from_env, where="the environment (FOOTAGE_*)")
    settings = _merge(settings, {k: v for k, v in arguments.items() if v is not None}, where="the arguments")
    return _checked(settings)


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"cannot read {path}: {error}", hint="it must be a TOML file in UTF-8") from error
    models = values.get("models")
    plain = {k: v for k, v in values.items() if not isinstance(v, dict)}  # other tables belong to others
    if isinstance(models, dict):
        table = cast("dict[str, Any]", models)
        plain |= {name: table[name] for name in ("model", "window", "stride") if name in table}
        plain |= {"fuse": _fuse(table["fuse"], str(path))} if "fuse" in table else {}
    return plain


def _fuse(value: Any, where: str) -> dict[str, dict[str, float]]:
    hint = '[models.fuse] holds lines like: image = {"ViT-B-32-SigLIP2-256" = 1.0, "dinov2-s14" = 0.5}'
    out: dict[str, dict[str, float]] = {}
    for role, weights in cast("dict[str, Any]", value if isinstance(value, dict) else {"": value}).items():
        if role not in ("text", "image", "motion") or not isinstance(weights, dict) or not weights:
            raise ConfigError(f"cannot fuse {role or value!r} in {where}", hint=hint)
        out[role] = {}
        for name, weight in cast("dict[str, Any]", weights).items():
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight <= 100:
                raise ConfigError(f"the weight of {name} for {role} in {where} is {weight!r}, not above 0", hint=hint)
            out[role][name] = float(weight)
    return out


def _merge(base: Settings, values: Mapping[str, Any], *, where: str) -> Settings:
    known = get_type_hints(Settings)
    out: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"unknown setting in {where}: {name}", hint=f"one of: {', '.join(sorted(known))}")
        if name == "fuse":  # checked where it was read
            out[name] = value
            continue
        kind = (*get_args(known[name]), known[name])[0]  # float of `float | None`
        out[name] = _coerce(name, value, kind, where)
    return replace(base, **out)


_SECRET = ("store_token",)
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _coerce(name: str, value: Any, kind: type[Any], where: str) -> Any:
    """Take a value as it is, or read it from a string, as the environment gives it; never from another type."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, kind) and (whole or kind is not int):
        return value
    if kind is float and whole:
        return float(value)
    if isinstance(value, str):
        try:
            return _WORDS[value.lower()] if kind is bool else kind(value)
        except (KeyError, ValueError):
            pass
    shown = "what was given" if name in _SECRET else repr(value)
    raise ConfigError(f"{name} in {where} must be of type {kind.__name__}, not {shown}")


def _checked(s: Settings) -> Settings:
    limits = {
        "every": (0.04, 3600.0),
        "near": (0.0, 255.0),
        "workers": (1, 64),
        "stall": (1.0, 86400.0),
        "spool": (0.0, 100_000.0),
        "batch": (1, 1024),
        "window": (0.2, 60.0),
        "stride": (0.01, 60.0),
    }
    for name, (low, high) in limits.items():
        value = getattr(s, name)
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{name} is {value}, but must lie between {low} and {high}")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", s.device):
        raise ConfigError(f"unknown device: {s.device}", hint="one of: auto, cpu, cuda, cuda:1, mps")
    return s
