"""Weights of torch from files, without running anything that stands in them.

Three kinds: safetensors; a state dict, by torch's own reader that builds tensors only; and a TorchScript archive, the
form in which OpenAI published CLIP. torch runs the programs of an archive to read it, so here its pickle is read by a
reader that knows tensors and plain objects and refuses everything else. What is not wanted is not read.
"""

from __future__ import annotations

import pickle
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from footage.encoders.torch_device import one_line, torch_
from footage.errors import EncoderError, FootageError

if TYPE_CHECKING:
    from pathlib import Path

_STORAGES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


@contextmanager
def loading(what: object) -> Generator[None]:
    """Turn whatever a library says of broken files or of those of another model into one line."""
    from safetensors import SafetensorError

    errors = (
        SafetensorError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        RuntimeError,
        OSError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        AssertionError,
        ArithmeticError,
    )
    try:
        yield
    except FootageError:
        raise
    except errors as error:
        raise EncoderError(
            f"cannot load {what}: {one_line(error)}", hint="cut short, or of another model: pull it again"
        ) from None


def read_state(path: Path, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Any]:
    """The wanted tensors of a file, by name.

    Raises:
        EncoderError: the file cannot be read, is cut short, or holds something else than tensors.
    """
    torch_()
    with loading(path):
        if path.suffix == ".safetensors":
            return _safetensors(path, wanted)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                root = _archive_root(archive)
                if root:
                    return _archive(archive, root, wanted)
        return {name: tensor for name, tensor in _state_dict(path).items() if wanted(name)}


def read_facts(path: Path) -> dict[str, Any]:
    """What a file of `torch.save` says beside its tensors, such as the name of the architecture; {}: nothing.

    Raises:
        EncoderError: the file cannot be read, is cut short, or wants to run something.
    """
    with loading(path):
        if path.suffix == ".safetensors":
            return {}
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if _archive_root(archive):
                    return {}
        found = _saved(path)
        if not isinstance(found, dict) or "state_dict" not in found:
            return {}
        told = cast("dict[str, Any]", found)
        return {name: value for name, value in told.items() if isinstance(value, (str, int, float, Namespace))}


def _saved(path: Path) -> Any:
    """What `torch.save` wrote, by torch's own reader of tensors; the arguments of a training are plain values."""
    torch = torch_()
    with torch.serialization.safe_globals([Namespace]):
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _safetensors(path: Path, wanted: Callable[[str], bool]) -> dict[str, Any]:
    import safetensors

    reader: Any = safetensors.safe_open  # it has no types
    with reader(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if wanted(name)}  # noqa: SIM118  not a dict


def _state_dict(path: Path) -> dict[str, Any]:
    """The tensors of a file of `torch.save`; those of its newer form are read from the file when they are used."""
    found: Any = _saved(path)
    if isinstance(found, dict):
        found = cast("dict[str, Any]", found).get("state_dict", cast("Any", found))
    tensors = cast("dict[str, Any]", found if isinstance(found, Mapping) else {"": found})
    if not all(name and isinstance(value, torch_().Tensor) for name, value in tensors.items()):
        raise ValueError("it holds something else than tensors")
    within = "module." if tensors and all(name.startswith("module.") for name in tensors) else ""
    return {name.removeprefix(within): tensor for name, tensor in tensors.items()}


# ---------------------------------------------------------------------------------------------- TorchScript archives


@dataclass(frozen=True, slots=True)
class _Storage:
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Module:
    """A module of the archive: its attributes and nothing else."""

    def __setstate__(self, state: Any) -> None:
        self.attributes = cast("dict[str, Any]", state if isinstance(state, dict) else {})


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


def _plain(value: Any, *_: Any) -> Any:
    return value


class _Reader(pickle.Unpickler):
    """Builds tensors that are not read yet and modules that hold them, and refuses to know anything else."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name.startswith("__torch__"):
            return _Module
        if module_name == "torch" and global_name in _STORAGES:
            return global_name
        if (module_name, global_name) in (
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch._utils", "_rebuild_parameter"),
        ):
            return _tensor if global_name == "_rebuild_tensor_v2" else _plain
        if (module_name, global_name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module_name == "torch.jit._pickle":  # lists of one type, and values with one
            return _plain
        raise pickle.UnpicklingError(f"it wants to run {module_name}.{global_name}")

    def persistent_load(self, pid: Any, /) -> _Storage:
        _, kind, key, *_ = pid
        return _Storage(kind, str(key))


def _archive_root(archive: zipfile.ZipFile) -> str:
    """The folder in an archive of TorchScript; nothing where the file is a plain state dict."""
    names = archive.namelist()
    root = names[0].partition("/")[0] if names else ""
    return root if {f"{root}/data.pkl", f"{root}/constants.pkl"} <= set(names) else ""


def _archive(archive: zipfile.ZipFile, root: str, wanted: Callable[[str], bool]) -> dict[str, Any]:
    torch = torch_()
    with archive.open(f"{root}/data.pkl") as content:
        top = _Reader(content).load()
    state: dict[str, Any] = {}
    for name, tensor in _named(top):
        if wanted(name):
            content = bytearray(archive.read(f"{root}/data/{tensor.storage.key}"))
            flat = torch.frombuffer(content, dtype=getattr(torch, _STORAGES[tensor.storage.kind]))
            state[name] = flat.as_strided(tensor.shape, tensor.strides, tensor.offset)
    return state


def _named(value: Any, prefix: str = "") -> Iterator[tuple[str, _Tensor]]:
    if isinstance(value, _Tensor):
        yield prefix.removesuffix("."), value
    elif isinstance(value, _Module):
        for name, part in getattr(value, "attributes", {}).items():
            yield from _named(part, f"{prefix}{name}.")
