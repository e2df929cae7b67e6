"""Fetching weights: from a hub on the loopback with its bad days, from a folder, from another program's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx_models
import pytest
from hub_server import COMMIT, FakeHub, serving

from footage import encoders
from footage.encoders import auto, weights
from footage.encoders import hub as hub_module
from footage.encoders.hub import Hub
from footage.encoders.row import EncoderRow, Weights
from footage.encoders.rows import RECOMMENDED, ROWS
from footage.errors import ConfigError, EncoderError, EncoderUnavailable, FootageError

REPO = "someone/small-clip"
NAME = f"onnx:{REPO}"
PATIENT = 60.0  # seconds: longer than a busy machine takes for an answer of the loopback


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeHub]:
    onnx_models.immich(tmp_path / "published")
    with serving() as hub:
        hub.add(REPO, tmp_path / "published")
        hub.repos[REPO]["README.md"] = b"not wanted"
        hub.repos[REPO]["visual/fp16/model.armnn"] = b"not wanted"
        yield hub


@pytest.fixture
def hub(server: FakeHub, tmp_path: Path) -> Hub:
    return Hub(tmp_path / "hf", server.endpoint, timeout=60, tries=3, pause=0.01)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def row(**changes: Any) -> EncoderRow:
    return replace(encoders.lookup(NAME), **changes)


def pinned(**sha256: str) -> EncoderRow:
    known = encoders.lookup(NAME)
    assert known.weights is not None
    return replace(known, weights=replace(known.weights, sha256=sha256))


def leftovers(*roots: Path) -> list[str]:
    return [str(p) for root in roots if root.exists() for p in root.rglob("*") if "partial" in p.name]


def one_line(error: FootageError) -> str:
    assert "\n" not in error.message
    return error.message


def test_a_pull_brings_what_was_published(server: FakeHub, hub: Hub, cache: Path, tmp_path: Path) -> None:
    steps: list[weights.Step] = []
    found = weights.pull(row(), cache_dir=cache, hub=hub, on_progress=steps.append)
    published = {n: c for n, c in server.repos[REPO].items() if not n.startswith(("README", "visual/fp16"))}
    assert {name: (found.folder / name).read_bytes() for name in found.digests} == published
    assert found.digests == {name: hashlib.sha256(content).hexdigest() for name, content in published.items()}
    assert found.revision == COMMIT
    assert sorted(found.unpinned) == sorted(published)
    assert not server.gets("README.md")
    assert steps[-1].done_bytes == steps[-1].total_bytes == sum(map(len, published.values()))
    assert [s.done_bytes for s in steps] == sorted(s.done_bytes for s in steps)
    assert leftovers(cache, hub.cache) == []
    small = onnx_models.immich(tmp_path / "again")
    encoder = encoders.load(NAME, cache_dir=cache)
    [vectors] = encoder.encode_texts(["a red car"]).values()
    assert vectors.shape == (1, len(small.text_head[0]))


def test_the_second_pull_asks_nothing(server: FakeHub, hub: Hub, cache: Path) -> None:
    first = weights.pull(row(), cache_dir=cache, hub=hub)
    asked = len(server.seen)
    assert weights.pull(row(), cache_dir=cache, hub=hub) == first
    assert len(server.seen) == asked


def test_what_the_hubs_own_client_fetched_is_used(server: FakeHub, hub: Hub, cache: Path) -> None:
    pytest.importorskip("huggingface_hub")
    code = "import sys; from huggingface_hub import hf_hub_download as get; [get(sys.argv[1], n) for n in sys.argv[2:]]"
    environ = {**os.environ, "HF_ENDPOINT": server.endpoint, "HF_HUB_CACHE": str(hub.cache), "HF_HUB_OFFLINE": "0"}
    subprocess.run([sys.executable, "-c", code, REPO, *server.repos[REPO]], env=environ, check=True)
    asked = len(server.seen)
    assert weights.is_here(row(), cache, hub=hub)
    found = weights.require(row(), cache, hub=hub)
    assert found.revision == COMMIT
    assert len(server.seen) == asked


def test_what_we_fetched_is_used_by_the_hubs_own_client(server: FakeHub, hub: Hub, cache: Path) -> None:
    client = pytest.importorskip("huggingface_hub")
    found = weights.pull(row(), cache_dir=cache, hub=hub)
    path = client.hf_hub_download(REPO, "visual/model.onnx", cache_dir=hub.cache, local_files_only=True)
    assert Path(path) == found.folder / "visual/model.onnx"


def test_two_at_once_fetch_once(server: FakeHub, hub: Hub, cache: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: weights.pull(row(), cache_dir=cache, hub=hub), range(2))
    assert first == second
    assert len(server.gets("cdn/someone/small-clip/visual/model.onnx")) == 1


# --------------------------------------------------------------------------------------------------------- bad days


def test_a_cut_connection_goes_on_where_it_was(server: FakeHub, hub: Hub, cache: Path) -> None:
    size = len(server.repos[REPO]["textual/model.onnx"])
    server.cut["textual/model.onnx"] = size // 5
    weights.pull(row(), cache_dir=cache, hub=hub)
    starts = [int(h["Range"][6:-1]) for h in server.gets("cdn/someone/small-clip/textual/model.onnx") if "Range" in h]
    assert len(starts) >= 4
    assert starts == sorted(starts)
    assert starts[0] == size // 5


def test_a_server_without_ranges_begins_anew(server: FakeHub, hub: Hub, cache: Path) -> None:
    server.no_ranges = True
    folder = hub.cache / "models--someone--small-clip/snapshots" / COMMIT / "visual"
    folder.mkdir(parents=True)
    (folder / "model.onnx.partial").write_bytes(b"of an older try")
    found = weights.pull(row(), cache_dir=cache, hub=hub)
    assert (found.folder / "visual/model.onnx").read_bytes() == server.repos[REPO]["visual/model.onnx"]


def test_a_pull_that_failed_goes_on_the_next_time(server: FakeHub, hub: Hub, cache: Path) -> None:
    server.fail["textual/model.onnx"] = 99
    with pytest.raises(EncoderUnavailable, match=r"textual/model\.onnx"):
        weights.pull(row(), cache_dir=cache, hub=hub)
    assert not weights.is_here(row(), cache, hub=hub)
    with pytest.raises(EncoderUnavailable, match="not here"):
        weights.require(row(), cache, hub=hub)
    server.fail.clear()
    server.seen.clear()
    weights.pull(row(), cache_dir=cache, hub=hub)
    assert not server.gets("visual/model.onnx")  # it was whole


def test_a_killed_pull_goes_on_where_it_was(server: FakeHub, hub: Hub, cache: Path, tmp_path: Path) -> None:
    """The process is killed amid a file; the next one asks only for the rest of it."""
    content = os.urandom(30_000_000)
    server.repos[REPO]["visual/weights.onnx"] = content
    code = (
        "import sys, time; from pathlib import Path\n"
        "from footage import encoders; from footage.encoders import weights\n"
        "from footage.encoders.hub import Hub\n"
        "def tell(step):\n"
        "    if step.file == 'visual/weights.onnx' and step.done_bytes > 9_000_000:\n"
        "        print('now', flush=True); time.sleep(300)\n"
        f"hub = Hub(Path({str(hub.cache)!r}), {server.endpoint!r})\n"
        f"weights.pull(encoders.lookup({NAME!r}), cache_dir=Path({str(cache)!r}), hub=hub, on_progress=tell)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.kill()
    server.seen.clear()
    found = weights.pull(row(), cache_dir=cache, hub=hub)
    assert (found.folder / "visual/weights.onnx").read_bytes() == content
    [asked] = server.gets("cdn/someone/small-clip/visual/weights.onnx")
    assert int(asked["Range"][6:-1]) > 5_000_000


def test_a_busy_server_is_asked_again(server: FakeHub, hub: Hub, cache: Path) -> None:
    server.fail["visual/model.onnx"] = 2
    assert weights.pull(row(), cache_dir=cache, hub=hub).digests


def test_content_that_is_not_what_the_hub_says(server: FakeHub, hub: Hub, cache: Path) -> None:
    for name in ("visual/model.onnx", "config.json"):  # in large storage, and in git
        server.swap[name] = bytes(len(server.repos[REPO][name]))
        with pytest.raises(EncoderError, match="wrong hash") as caught:
            weights.pull(row(), cache_dir=cache, hub=hub)
        assert name in one_line(caught.value)
        assert leftovers(cache, hub.cache) == []
        assert not weights.is_here(row(), cache, hub=hub)
        server.swap.clear()
        shutil.rmtree(hub.cache)
    weights.pull(row(), cache_dir=cache, hub=hub)


def test_content_that_is_not_what_its_maker_published(server: FakeHub, hub: Hub, cache: Path) -> None:
    right = hashlib.sha256(server.repos[REPO]["visual/model.onnx"]).hexdigest()
    for digest in ("a" * 64, "a" * 8):
        with pytest.raises(EncoderError, match="wrong hash") as caught:
            weights.pull(pinned(**{"visual/model.onnx": digest}), cache_dir=cache, hub=hub)
        one_line(caught.value)
        assert not (hub.cache / "models--someone--small-clip/snapshots" / COMMIT / "visual/model.onnx").exists()
    for digest in (right, right[:8]):
        found = weights.pull(pinned(**{"visual/model.onnx": digest}), cache_dir=cache, hub=hub)
        assert "visual/model.onnx" not in found.unpinned
        assert "textual/model.onnx" in found.unpinned


def test_a_file_that_changed_after_the_first_use_is_an_error(hub: Hub, cache: Path) -> None:
    found = weights.pull(row(), cache_dir=cache, hub=hub)
    path = found.folder / "visual/model.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(EncoderError, match="wrong hash") as caught:
        encoders.load(NAME, cache_dir=cache)
    one_line(caught.value)
    weights.pull(row(), cache_dir=cache, hub=hub)  # mends it
    assert path.read_bytes() == content
    os.utime(path)  # touched, but the same
    assert encoders.load(NAME, cache_dir=cache)


@pytest.mark.parametrize(
    ("repo", "message"),
    [("someone/nothing", "not found"), ("someone/gated", "not allowed"), ("someone/other", "holds no model")],
)
def test_repositories_that_give_no_model(server: FakeHub, hub: Hub, cache: Path, repo: str, message: str) -> None:
    server.denied.add("someone/gated")
    server.repos["someone/other"] = {"model.safetensors": b"x", "config.json": b"{}"}
    with pytest.raises(EncoderUnavailable, match=message) as caught:
        weights.pull(encoders.lookup(f"onnx:{repo}"), cache_dir=cache, hub=hub)
    one_line(caught.value)
    assert caught.value.hint


def test_weights_that_lie_there_twice_are_fetched_once(server: FakeHub, hub: Hub, cache: Path) -> None:
    """As safetensors and as a state dict; the state dict is taken where there is nothing else."""
    both = {"model.safetensors": b"safe", "pytorch_model.bin": b"state", "config.json": b"{}"}
    server.repos["someone/both"], server.repos["someone/old"] = both, dict(list(both.items())[1:])
    for repo, taken in (("both", "model.safetensors"), ("old", "pytorch_model.bin")):
        found = weights.pull(encoders.lookup(f"hf:someone/{repo}"), cache_dir=cache, hub=hub)
        assert sorted(found.digests) == ["config.json", taken]
        fetched = [path for path, _ in server.seen if f"someone/{repo}/resolve" in path]
        assert {path.rpartition("/")[2] for path in fetched} == {"config.json", taken}


def test_the_token_goes_to_the_hub_and_nowhere_else(server: FakeHub, hub: Hub, cache: Path) -> None:
    server.denied.add(REPO)
    weights.pull(row(), cache_dir=cache, hub=replace(hub, token="secret"))
    assert all("Authorization" in headers for path, headers in server.seen if not path.startswith("/cdn/"))
    elsewhere = [headers for path, headers in server.seen if path.startswith("/cdn/")]
    assert elsewhere
    assert not any("Authorization" in headers for headers in elsewhere)


def test_a_listing_that_leads_out_of_its_folder(server: FakeHub, hub: Hub, cache: Path) -> None:
    for name in ("../../evil.json", "/etc/evil.json", "visual/../../../evil"):
        server.repos[REPO][name] = b"x"
        with pytest.raises(EncoderUnavailable, match="outside"):
            weights.pull(row(), cache_dir=cache, hub=hub)
        del server.repos[REPO][name]


def test_offline_asks_nothing(server: FakeHub, hub: Hub, cache: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="offline"):
        weights.pull(row(), cache_dir=cache, hub=replace(hub, offline=True))
    assert server.seen == []


def test_nobody_there(hub: Hub, cache: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = replace(hub, endpoint=f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(EncoderUnavailable, match="cannot fetch") as caught:
            weights.pull(row(), cache_dir=cache, hub=nobody)
    one_line(caught.value)
    assert "--from" in caught.value.hint


def test_a_web_page_is_no_hub(server: FakeHub, hub: Hub, cache: Path) -> None:
    with pytest.raises(EncoderUnavailable):
        hub_module.listing(replace(hub, endpoint=server.endpoint + "/login"), REPO)


# -------------------------------------------------------------------------------------------------- from a folder


def test_weights_from_a_folder(cache: Path, tmp_path: Path) -> None:
    onnx_models.immich(tmp_path / "stick")
    found = weights.pull(row(), cache_dir=cache, source=tmp_path / "stick")
    shutil.rmtree(tmp_path / "stick")
    assert found.folder.is_relative_to(cache)
    assert encoders.load(NAME, cache_dir=cache).encode_texts(["a red car"])
    assert leftovers(cache) == []


@pytest.mark.parametrize("broken", ["cut", "other", "gone", "nothing", "pin"])
def test_a_folder_of_other_or_broken_weights_leaves_nothing(cache: Path, tmp_path: Path, broken: str) -> None:
    stick = tmp_path / "stick"
    onnx_models.immich(stick)
    wanted = row()
    if broken == "cut":
        content = (stick / "textual/model.onnx").read_bytes()
        (stick / "textual/model.onnx").write_bytes(content[: len(content) // 2])
    elif broken == "other":
        shutil.copyfile(stick / "textual/model.onnx", stick / "visual/model.onnx")
    elif broken == "gone":
        (stick / "textual/tokenizer.json").unlink()
    elif broken == "nothing":
        stick = tmp_path / "empty"
        stick.mkdir()
    else:
        wanted = pinned(**{"visual/model.onnx": "b" * 64})
    with pytest.raises(EncoderError) as caught:
        weights.pull(wanted, cache_dir=cache, source=stick)
    one_line(caught.value)
    assert [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"] == []
    assert not weights.is_here(wanted, cache, hub=Hub(tmp_path / "hf", offline=True))


def test_a_broken_folder_does_not_harm_what_was_there(cache: Path, tmp_path: Path) -> None:
    onnx_models.immich(tmp_path / "good")
    onnx_models.immich(tmp_path / "bad")
    (tmp_path / "bad/visual/model.onnx").write_bytes(b"no")
    weights.pull(row(), cache_dir=cache, source=tmp_path / "good")
    with pytest.raises(EncoderError):
        weights.pull(row(), cache_dir=cache, source=tmp_path / "bad")
    assert encoders.load(NAME, cache_dir=cache).encode_texts(["a red car"])


def test_a_restricted_model_wants_a_yes(server: FakeHub, hub: Hub, cache: Path) -> None:
    restricted = row(restricted=True, licence="for research only")
    with pytest.raises(ConfigError, match="for research only") as caught:
        weights.pull(restricted, cache_dir=cache, hub=hub)
    assert "--accept-licence" in caught.value.hint
    assert server.seen == []
    weights.pull(restricted, cache_dir=cache, hub=hub, accept=True)
    assert weights.require(restricted, cache, hub=hub).digests


def test_a_restricted_model_of_another_program_is_not_taken_silently(hub: Hub, cache: Path, tmp_path: Path) -> None:
    weights.pull(row(), cache_dir=cache, hub=hub)
    restricted = row(restricted=True)
    assert not weights.is_here(restricted, tmp_path / "fresh", hub=hub)
    with pytest.raises(EncoderUnavailable) as caught:
        weights.require(restricted, tmp_path / "fresh", hub=hub)
    assert "--accept-licence" in caught.value.hint


def test_weights_that_lie_at_an_address(server: FakeHub, hub: Hub, cache: Path) -> None:
    """As those of OpenAI and torchvision: no listing, a digest or its beginning in the row."""
    content = os.urandom(300_000)
    server.repos[REPO]["net.bin"] = content
    url = f"{server.endpoint}/{REPO}/resolve/main/net.bin"
    right = hashlib.sha256(content).hexdigest()

    def at(digest: str = "") -> EncoderRow:
        return row(weights=Weights(urls={"net.bin": url}, sha256={"net.bin": digest} if digest else {}))

    assert not weights.is_here(at(), cache, hub=hub)
    for digest in ("c" * 64, "c" * 8):
        with pytest.raises(EncoderError, match="wrong hash"):
            weights.pull(at(digest), cache_dir=cache, hub=hub)
        assert [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"] == []
    server.cut["net.bin"] = 100_000
    found = weights.pull(at(right[:8]), cache_dir=cache, hub=hub)
    assert (found.folder / "net.bin").read_bytes() == content
    assert (found.digests, found.unpinned) == ({"net.bin": right}, ())
    assert weights.is_here(at(), cache, hub=hub)


def test_a_model_without_weights_has_nothing_to_pull(cache: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to pull"):
        weights.pull(ROWS["starter"], cache_dir=cache)


def test_a_folder_that_is_none(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        weights.pull(row(), cache_dir=cache, source=tmp_path / "nowhere")


def test_a_damaged_record_is_no_record(hub: Hub, cache: Path) -> None:
    weights.pull(row(), cache_dir=cache, hub=hub)
    [record] = (cache / "models").glob("*.json")
    for content in ("", "{", "[]", '{"format": 99}'):
        record.write_text(content)
        assert weights.require(row(), cache, hub=hub).digests  # found in the hub's cache, and recorded anew
        assert json.loads(record.read_text())["format"] == 1


# ------------------------------------------------------------------------------------------------------------- auto


def recommended(server: FakeHub, tmp_path: Path) -> None:
    """The recommended model's repository, with a small model of its dimension."""
    repo = ROWS[RECOMMENDED].weights
    assert repo is not None
    server.add(repo.repo, tmp_path / "published")


def test_auto_fetches_where_the_hub_answers(server: FakeHub, hub: Hub, cache: Path, tmp_path: Path) -> None:
    recommended(server, tmp_path)
    steps: list[weights.Step] = []
    found, why = auto.choose_auto(cache, hub=hub, patience=PATIENT, on_progress=steps.append)
    assert found.name == RECOMMENDED
    assert why == f"recommended, and fetched from {server.endpoint}"
    assert steps[0].total_bytes > 0
    found, why = auto.choose_auto(cache, hub=replace(hub, offline=True))
    assert (found.name, why) == (RECOMMENDED, "recommended, and its weights are here")


def test_auto_takes_the_starter_and_says_why(server: FakeHub, hub: Hub, cache: Path) -> None:
    cases = {
        "HF_HUB_OFFLINE": replace(hub, offline=True),
        "not found": hub,
        "refused": replace(hub, endpoint="http://127.0.0.1:9"),
    }
    for word, where in cases.items():
        started = time.monotonic()
        found, why = auto.choose_auto(cache, hub=where, patience=PATIENT)
        assert found.name == "starter"
        assert word in why
        assert time.monotonic() - started < PATIENT, "it waited, though the answer was there"


def test_auto_never_waits_longer_than_three_seconds(hub: Hub, cache: Path) -> None:
    """A hub that takes the connection and says nothing."""
    assert auto.PATIENCE == 3.0
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        silent = replace(hub, endpoint=f"http://127.0.0.1:{hole.getsockname()[1]}")
        started = time.monotonic()
        found, why = auto.choose_auto(cache, hub=silent)
        took = time.monotonic() - started
    assert found.name == "starter"
    assert "3 s" in why or "timed out" in why
    assert 2.5 < took < hub.timeout, "the patience of a download"


def test_auto_never_waits_for_a_hub_that_trickles(server: FakeHub, hub: Hub, cache: Path, tmp_path: Path) -> None:
    recommended(server, tmp_path)
    server.slow = 300
    started = time.monotonic()
    found, _ = auto.choose_auto(cache, hub=hub, patience=0.5)
    assert found.name == "starter"
    assert time.monotonic() - started < hub.timeout


# ---------------------------------------------------------------------------------------------------- command line


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "FOOTAGE_"))}
    return subprocess.run(
        [sys.executable, "-m", "footage.cli", *arguments], env=clean | environ, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip


def test_the_command_pulls_and_lists(server: FakeHub, cache: Path, tmp_path: Path) -> None:
    recommended(server, tmp_path)
    env = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": server.endpoint, "FOOTAGE_CACHE": str(cache)}
    done = command("models", "pull", RECOMMENDED.lower(), "--json", **env)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["revision"] == COMMIT
    assert Path(facts["folder"]).is_relative_to(tmp_path / "home" / "hub")
    assert f"fetching {RECOMMENDED}" in done.stderr
    listed = command("models", "--json", **env)
    here = {facts["name"]: facts.get("here") for facts in map(json.loads, listed.stdout.splitlines())}
    assert here[RECOMMENDED] is here["starter"] is True
    assert here["ViT-B-32-openai"] is False
    again = command("models", "pull", RECOMMENDED, **env, HF_HUB_OFFLINE="1")
    assert again.returncode == 0
    assert "no published digest" in again.stderr


def test_the_command_says_what_is_wrong_in_one_line(server: FakeHub, cache: Path, tmp_path: Path) -> None:
    env = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": server.endpoint, "FOOTAGE_CACHE": str(cache)}
    cases = [
        (("models", "pull", "no-such-model"), 2, "unknown model"),
        (("models", "pull", "onnx:someone/nothing"), 3, "not found"),
        (("models", "pull", "starter"), 2, "nothing to pull"),
        (("models", "pull", NAME, "--from", str(tmp_path / "nowhere")), 2, "not a folder"),
        (("models", "drop"), 2, ""),
    ]
    for arguments, status, words in cases:
        done = command(*arguments, **env)
        assert done.returncode == status, (arguments, done.stderr)
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    done = command("models", "pull", NAME, **{**env, "HF_ENDPOINT": "ftp://example"})
    assert done.returncode == 3
    assert "HF_ENDPOINT" in done.stderr


def test_indexing_with_a_model_that_is_not_here(cache: Path, tmp_path: Path) -> None:
    from clips import clip

    clip(tmp_path / "v" / "clip.mp4", 1)
    done = command(
        "index", str(tmp_path / "v"), "--library", str(tmp_path / "lib"), "--model", RECOMMENDED,
        HF_HOME=str(tmp_path / "home"), FOOTAGE_CACHE=str(cache), HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert done.returncode == 3
    assert f"footage models pull {RECOMMENDED}" in done.stderr
    assert not (tmp_path / "lib" / "library.json").exists()
