"""Weights are read without running anything that stands in them, and a machine's devices are what they are."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference

from footage.encoders.row import Options
from footage.encoders.torch_device import Machine, library
from footage.encoders.torch_files import read_state
from footage.errors import ConfigError, EncoderError, EncoderUnavailable

torch = reference.torch_()


class Malicious:
    """What is unpickled writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Malicious(tmp_path / "run")))
    assert (tmp_path / "run").exists()


def zipped(path: Path, pickled: bytes, *, archive: bool) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", "3\n")
        file.writestr("archive/byteorder", "little")
        if archive:
            file.writestr("archive/constants.pkl", pickled)
            file.writestr("archive/code/__torch__.py", "")


@pytest.mark.parametrize("form", ["archive", "zip", "legacy", "bare"])
def test_a_malicious_file_runs_nothing(tmp_path: Path, form: str) -> None:
    target, path = tmp_path / "run", tmp_path / "weights.pt"
    bad = {"visual.conv1.weight": Malicious(target)}
    if form in ("archive", "zip"):
        zipped(path, pickle.dumps(bad, protocol=2), archive=form == "archive")
    elif form == "legacy":
        torch.save(bad, str(path), _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(bad))
    with pytest.raises(EncoderError, match="cannot load") as caught:
        read_state(path)
    assert "\n" not in str(caught.value)
    assert not target.exists()


def test_every_name_of_the_standard_library_is_refused_in_an_archive(tmp_path: Path) -> None:
    names = ["builtins eval", "os system", "torch load", "torch._utils _import_dotted_name", "collections UserDict"]
    for module, name in (one.split() for one in [*names, "torch.jit load"]):
        zipped(tmp_path / "w.pt", f"\x80\x02c{module}\n{name}\n.".encode("latin-1"), archive=True)
        with pytest.raises(EncoderError, match="wants to run"):
            read_state(tmp_path / "w.pt")


def test_an_archive_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5), torch.nn.Sequential(torch.nn.Linear(7, 2).half())
    )
    network.register_parameter("turned", torch.nn.Parameter(torch.randn(4, 6).t()))
    network.register_parameter("part", torch.nn.Parameter(torch.arange(20.0)[5:9]))
    torch.jit.save(torch.jit.script(network), str(tmp_path / "w.pt"))
    found, wanted = read_state(tmp_path / "w.pt"), network.state_dict()
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name
    assert set(read_state(tmp_path / "w.pt", lambda name: name.startswith("2."))) == {"2.0.weight", "2.0.bias"}


@pytest.mark.parametrize("form", ["zip", "legacy", "nested", "parallel", "safetensors"])
def test_a_state_dict_in_each_form(tmp_path: Path, form: str) -> None:
    from safetensors.torch import save_file

    state, path = {"a.weight": torch.randn(3, 2), "b": torch.ones(1)}, tmp_path / "w.pt"
    if form == "safetensors":
        path = tmp_path / "w.safetensors"
        save_file(state, str(path))
    elif form == "nested":
        torch.save({"state_dict": state}, str(path))
    elif form == "parallel":
        torch.save({f"module.{name}": tensor for name, tensor in state.items()}, str(path))
    else:
        torch.save(state, str(path), _use_new_zipfile_serialization=form == "zip")
    assert torch.equal(read_state(path)["a.weight"], state["a.weight"])
    assert set(read_state(path, lambda name: name == "b")) == {"b"}


@pytest.mark.parametrize("what", [[1, 2], {"epoch": 3}, {"state_dict": [1]}, torch.ones(2)])
def test_a_file_that_holds_no_state(tmp_path: Path, what: Any) -> None:
    torch.save(what, str(tmp_path / "w.pt"))
    with pytest.raises(EncoderError, match="something else"):
        read_state(tmp_path / "w.pt")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("w.pt", "w.safetensors"):
        with pytest.raises(EncoderError, match="cannot load"):
            read_state(tmp_path / name)


def test_devices() -> None:
    assert Machine(Options(device="cpu")).device.type == "cpu"
    with pytest.raises(ConfigError, match="unknown device"):
        Machine(Options(device="abacus"))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no device cuda"):
            Machine(Options(device="cuda"))
        assert Machine(Options()).device.type in ("cpu", "mps")


def test_a_batch_that_does_not_fit_is_halved() -> None:
    """The error is torch's own; that so much memory is not there is not left to chance."""
    machine, sizes = Machine(Options(device="cpu")), []

    def network(rows: Any) -> Any:
        sizes.append(len(rows))
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rows

    rows = np.random.default_rng(1).normal(size=(21, 4)).astype(np.float32)
    found = machine.run(network, lambda start, stop: (rows[start:stop],), 21)
    assert np.allclose(found, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6)
    assert sizes[:4] == [16, 8, 4, 2]
    assert machine.batch == 2  # and the next ones begin with what fitted

    def never(_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(EncoderError, match="out of memory"):
        machine.run(never, lambda start, stop: (rows[start:stop],), 21)


def test_torchvision_is_imported_whatever_its_build() -> None:
    code = "from footage.encoders.torch_device import library; print(library('torchvision').models.resnet18.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "resnet18", done.stderr


def test_a_library_that_is_not_installed() -> None:
    with pytest.raises(EncoderUnavailable, match="cannot be imported") as caught:
        library("torch_nothing")
    assert "footage[torch]" in caught.value.hint
