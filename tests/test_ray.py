"""Index on a real Ray cluster of several machines (raylets on this one); kill its parts: the library is the same."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from clips import clip, encoder, library, remux, run, whole
from films import film as moving
from films import write
from media_samples import Sound, render
from needs import CI
from object_store import Store
from test_kill import leftovers, same

from footage.cluster import Cluster, ClusterSettings
from footage.cluster.crew import Answered, Event, Mate
from footage.cluster.orders import Order
from footage.config import Settings
from footage.errors import ConfigError, CostLimit, MediaNotFound
from footage.ingest import Progress
from footage.library import Library

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None and not CI, reason="ray is not installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL"),
]
SMALL = ClusterSettings(group=1, part_cost=0.02)  # core-seconds: the longest film is split on any machine
# What happens in a hand that opens a file to read it. A decoder that crashes, as near as can be: a segmentation fault.
# And as long as there is a file `hold`, every video but the longest is stopped where its digest is made, which is next
# after the surveys: however fast a machine is, it is at work until the test has done what it wants to.
HOOK = """
import ctypes, os, sys, time
folder = os.environ.get("FOOTAGE_HAND", "")
def begun(frame):
    return frame is not None and (frame.f_code.co_name == "digest" or begun(frame.f_back))
def hook(event, args):
    if event != "open" or not isinstance(args[0], str) or not args[0].endswith(".mp4"):
        return
    if args[0].endswith("poison.mp4"):
        with open(os.path.join(folder, "deaths"), "a") as log:
            log.write(f"{os.getpid()}\\n")
        ctypes.string_at(0)
    hold = os.path.join(folder, "hold")
    if os.path.exists(hold) and not args[0].endswith("long.mp4") and begun(sys._getframe()):
        with open(os.path.join(folder, "held"), "a") as log:
            log.write(f"{os.getpid()}\\n")
        while os.path.exists(hold):
            time.sleep(0.02)
if folder:
    sys.addaudithook(hook)
"""
PATIENT = 600.0  # seconds without progress that are no reason to give a file up


class Machines:
    """A head without processors, and machines of one each: every one a raylet of its own."""

    def __init__(self, folder: Path) -> None:
        # Before ray is imported: loopback only, nothing told to anybody, and a token.
        hook = folder / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(HOOK)
        self._hand = folder / "hand"
        self._hand.mkdir()
        self.deaths = self._hand / "deaths"
        settings = {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(hook), os.environ.get("PYTHONPATH")))),
            "FOOTAGE_HAND": str(self._hand),
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # these machines have no credentials, and ask nobody for some
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        from ray._common.utils import get_default_ray_temp_dir
        from ray.cluster_utils import Cluster as Raylets

        # The address of the head is written there, whatever folder the head is given, and nothing makes it.
        Path(get_default_ray_temp_dir()).mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.mkdtemp(prefix="fr-", dir="/tmp")  # names of sockets must be short
        how = {"num_cpus": 0, "include_dashboard": False, "temp_dir": self._folder}
        self._raylets = _patiently(lambda: Raylets(initialize_head=True, head_node_args=how))
        self.nodes = [self.add(), self.add()]
        self.address = str(self._raylets.address)

    def add(self) -> Any:
        return _patiently(lambda: self._raylets.add_node(num_cpus=1, object_store_memory=80 << 20))

    def pid(self, node: Any) -> int:
        [raylet] = node.all_processes["raylet"]
        return int(raylet.process.pid)

    def hands(self) -> list[psutil.Process]:
        """The processes that work now."""
        out: list[psutil.Process] = []
        for child in psutil.Process().children(recursive=True):
            try:
                if child.name().startswith("ray::Hand") or " ray::Hand" in " ".join(["", *child.cmdline()]):
                    out.append(child)
            except psutil.Error:
                continue
        return out

    @contextmanager
    def held(self) -> Generator[Callable[[int], set[int]]]:
        """No video but the longest is read meanwhile; what is given waits until so many hands are at one, their ids."""
        (self._hand / "held").write_text("")
        (self._hand / "hold").touch()

        def wait(hands: int) -> set[int]:
            return waited(lambda: {int(pid) for pid in (self._hand / "held").read_text().split()}, hands)

        try:
            yield wait
        finally:
            (self._hand / "hold").unlink(missing_ok=True)

    @contextmanager
    def interrupted(self, hands: int, do: Callable[[set[int]], None]) -> Generator[None]:
        """When so many are at one, do something with their ids, on a thread; then they go on."""

        def act(wait: Callable[[int], set[int]]) -> None:
            try:
                do(wait(hands))
            finally:
                (self._hand / "hold").unlink()

        with self.held() as wait, ThreadPoolExecutor(1) as pool:
            doing = pool.submit(act, wait)
            yield
            doing.result()

    def close(self) -> None:
        self._raylets.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)
        for name, value in self._before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _patiently(start: Callable[[], Any]) -> Any:
    """On a machine that is busy with other things, Ray may give up on what it starts after 30 s."""
    for _ in range(2):
        with suppress(Exception):
            return start()
    return start()


def waited(look: Callable[[], set[int]], count: int) -> set[int]:
    """Look until there are so many; a busy machine may take minutes to start a process."""
    end = time.monotonic() + 300
    while len(found := look()) < count and time.monotonic() < end:
        time.sleep(0.05)
    assert len(found) >= count, found
    return found


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    found = Machines(tmp_path_factory.mktemp("machines"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small clips, a copy, one that is broken, one with sound, and a long one of many shots."""
    folder = tmp_path_factory.mktemp("ray") / "films"
    sources = [clip(folder.parent / f"source{n}.mp4", *range(10 * n, 10 * n + n + 1)) for n in range(4)]
    for number in range(10):
        remux(sources[number % 4], folder / f"{number:02}.mp4", str(number))
    shutil.copy2(folder / "03.mp4", folder / "copy.mp4")  # of one time, for either may come first
    (folder / "bad.mp4").write_bytes((folder / "02.mp4").read_bytes()[:300])
    write(folder / "long.mp4", (p for n in range(16) for p in moving(n, 0, 3.3)))
    wave = np.sin(np.arange(8000 * 3) ** 1.3 / 40)[None].astype(np.float32)
    render(folder / "sound.mp4", moving(40, 0, 3), fps=15, sound=Sound(wave, 8000))
    return folder


@pytest.fixture(scope="module")
def alone(films: Path) -> Path:
    """The library of a run without a cluster."""
    path = films.parent / "alone"
    with library(path) as lib:
        assert sorted(r.status for r in lib.index([films])) == ["failed"] + 12 * ["indexed"] + ["unchanged"]
    return path


@pytest.fixture
def cluster(machines: Machines) -> Iterator[Cluster]:
    with Cluster(machines.address, settings=SMALL) as opened:
        yield opened


def patient(path: Path) -> Library:
    return Library.open(path, settings=Settings(stall=PATIENT), encoder=encoder())


def equals(lib: Library, alone: Path) -> None:
    whole(lib)
    assert leftovers(lib) == []
    with library(alone) as expected:
        same(lib, expected)


def test_it_is_the_library_of_a_single_process(cluster: Cluster, films: Path, alone: Path, tmp_path: Path) -> None:
    progress = Progress()
    orders: list[str] = []
    give = cluster._crew.give  # type: ignore[union-attr]
    cluster._crew.give = lambda m, o, **k: (orders.append(o.what), give(m, o, **k))  # type: ignore
    with patient(tmp_path / "lib") as lib:
        results = run(lib, films, on=cluster, progress=progress)
        assert results["bad.mp4"].status == "failed" and results["copy.mp4"].status in ("unchanged", "indexed")
        equals(lib, alone)
        assert set(run(lib, films, on=cluster).values()) and orders.count("part") >= 2, "the long one was not split"
        assert orders.count("survey") == 14 + 1  # only what failed is looked at again
    assert progress.files_done == progress.files == 14 and not progress.current
    assert progress.load.seconds > 0 and progress.encode.seconds > 0 and progress.write.seconds > 0
    spent, estimated = cluster.core_hours
    assert 0 < estimated < 10 * spent and spent * 3600 > progress.load.seconds / 10


def test_a_killed_process_costs_nothing_but_time(
    cluster: Cluster, machines: Machines, films: Path, alone: Path, tmp_path: Path
) -> None:
    with patient(tmp_path / "lib") as lib:
        with machines.interrupted(2, lambda hands: os.kill(min(hands), signal.SIGKILL)):
            results = lib.index([films], on=cluster)
        assert sum(r.status == "failed" for r in results) == 1
        equals(lib, alone)


@pytest.mark.parametrize("what", ["survey", "identify", "load", "part"])
def test_what_was_told_is_not_done_again(
    what: str, cluster: Cluster, machines: Machines, films: Path, alone: Path, tmp_path: Path
) -> None:
    """The processes die when the last word of some orders has come, and before they could end them in order."""
    crew = cluster._crew
    assert crew is not None
    events, give = crew.events, crew.give
    told: list[str] = []
    given: list[str] = []

    def then_die(seconds: float) -> list[Event]:
        out = events(seconds)
        last = [e.order for e in out if isinstance(e, Answered) and e.order.what == what and e.answer.last]
        if last and not told:
            told.extend(repr(order) for order in last)
            dead = machines.hands()
            for hand in dead:
                hand.kill()
            psutil.wait_procs(dead, timeout=120)
        return out

    def noted(mate: Mate, order: Order, *, alone: bool = False) -> None:
        given.append(repr(order))
        give(mate, order, alone=alone)

    crew.events, crew.give = then_die, noted  # type: ignore[method-assign]
    with patient(tmp_path / "lib") as lib:
        results = run(lib, films, on=cluster)
        assert {n: str(r.error) for n, r in results.items() if r.status == "failed"}.keys() == {"bad.mp4"}
        assert len(results) == 14
        assert told and all(given.count(order) == 1 for order in told)
        equals(lib, alone)


def test_a_lost_machine_costs_nothing_but_time(
    cluster: Cluster, machines: Machines, films: Path, alone: Path, tmp_path: Path
) -> None:
    node = machines.add()
    with patient(tmp_path / "lib") as lib:
        with machines.interrupted(3, lambda _: os.kill(machines.pid(node), signal.SIGKILL)):  # one hand is there
            results = lib.index([films], on=cluster)
        assert sum(r.status == "failed" for r in results) == 1
        equals(lib, alone)


def test_a_machine_that_is_lost_while_its_hand_starts(
    cluster: Cluster, machines: Machines, films: Path, alone: Path, tmp_path: Path
) -> None:
    crew = cluster._crew
    assert crew is not None
    node = machines.add()
    hire = crew._hire
    hired: list[str] = []

    def after_its_end(name: str, *how: Any) -> None:
        """The cluster had it when its machines were looked at."""
        if name == node.node_id:
            with suppress(ProcessLookupError):
                os.kill(machines.pid(node), signal.SIGTERM)  # it takes its leave: else nobody knows for half a minute
            end = time.monotonic() + 300
            while name in crew._nodes() and time.monotonic() < end:
                time.sleep(0.1)
            hired.append(name)
        hire(name, *how)

    crew._hire = after_its_end  # type: ignore[method-assign]
    with patient(tmp_path / "lib") as lib:
        results = lib.index([films], on=cluster)
        assert sum(r.status == "failed" for r in results) == 1 and hired == [node.node_id]
        assert not cluster.notes and node.node_id in crew._strikes
        equals(lib, alone)


def test_a_poisonous_file_is_tried_twice(
    cluster: Cluster, machines: Machines, films: Path, alone: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    clip(folder / "poison.mp4", 77)
    machines.deaths.unlink(missing_ok=True)
    with patient(tmp_path / "lib") as lib:
        result = run(lib, folder, on=cluster)
        failed = {name: str(r.error) for name, r in result.items() if r.status == "failed"}
        assert set(failed) == {"bad.mp4", "poison.mp4"}
        assert failed["poison.mp4"] == f"the process that read it ended, 2 times: {(folder / 'poison.mp4').as_posix()}"
        assert len(set(machines.deaths.read_text().split())) == 2
        assert {f["path"] for f in lib.failures()} == {(folder / n).as_posix() for n in failed}
        with library(alone) as expected:
            assert {v.id for v in lib.videos()} == {v.id for v in expected.videos()}
        whole(lib)


def command(films: Path | str, lib: Path, address: str, *more: str) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")} | {"FOOTAGE_STALL": str(PATIENT)}
    line = [sys.executable, "-m", "footage", "index", str(films), "--library", str(lib), "--json", "--model", "starter"]
    return subprocess.Popen(
        [*line, "--ray", address, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What else it says; `communicate` would lose what was read ahead."""
    assert process.stdout is not None and process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    process.wait(300)
    return out, err


def first_indexed(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Read until a file is indexed."""
    assert process.stdout is not None
    lines: list[dict[str, Any]] = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1]["status"] == "indexed":
            return lines
    raise AssertionError(process.stderr.read() if process.stderr else "")


def said(process: subprocess.Popen[str], words: str) -> str:
    """Read its errors as far as these words."""
    assert process.stderr is not None
    out = ""
    for line in process.stderr:
        out += line
        if words in line:
            return out
    raise AssertionError(out)


def alive(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []


def test_a_killed_driver_leaves_a_library_that_goes_on(
    machines: Machines, films: Path, alone: Path, tmp_path: Path
) -> None:
    with machines.held() as hands:
        process = command(films, tmp_path / "lib", machines.address)
        told = first_indexed(process)
        working = hands(2)
        process.kill()
        ended(process)
        with library(tmp_path / "lib") as lib:
            assert {line["video"] for line in told if line["status"] == "indexed"} <= {v.id for v in lib.videos()}
            assert len(lib.videos()) == 1
            assert all(f.harmless for f in lib.doctor())
        psutil.wait_procs([process for pid in working for process in alive(pid)], timeout=300)
        assert not machines.hands()  # they end with the one that they worked for, whatever they are at
    again = command(films, tmp_path / "lib", machines.address)
    out, err = again.communicate(timeout=900)
    assert again.returncode == 1 and "core-hours" in err, err  # one file is broken
    assert len(out.splitlines()) == 14
    with library(tmp_path / "lib") as lib:
        equals(lib, alone)


def test_ctrl_c_finishes_what_is_begun(machines: Machines, films: Path, alone: Path, tmp_path: Path) -> None:
    with machines.held() as hands:
        process = command(films, tmp_path / "lib", machines.address)
        told = first_indexed(process)
        hands(2)
        process.send_signal(signal.SIGINT)
        err = said(process, "finishing the videos")
    out, more = ended(process)
    lines = told + [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 130 and "Traceback" not in err + more, err + more
    done = {line["video"] for line in lines if line["status"] == "indexed"}
    with library(tmp_path / "lib") as lib:
        assert done == {v.id for v in lib.videos()}
        assert 1 < len(done) <= 1 + 2 * 2  # the long one, and what two hands can be at
        whole(lib)
        with Cluster(machines.address, settings=SMALL) as cluster:
            lib.index([films], on=cluster)
        equals(lib, alone)


def test_ctrl_c_twice_drops_it(machines: Machines, films: Path, tmp_path: Path) -> None:
    with machines.held() as hands:
        process = command(films, tmp_path / "lib", machines.address)
        first_indexed(process)
        hands(2)
        process.send_signal(signal.SIGINT)
        err = said(process, "finishing the videos")
        process.send_signal(signal.SIGINT)
        _, more = ended(process)
    assert process.returncode == 130 and "Traceback" not in err + more, err + more
    with library(tmp_path / "lib") as lib:
        assert len(lib.videos()) == 1
        whole(lib)


def test_what_costs_too_much_is_not_begun(machines: Machines, films: Path, tmp_path: Path) -> None:
    with Cluster(machines.address, settings=SMALL, max_cost=1e-6) as cluster, library(tmp_path / "lib") as lib:
        with pytest.raises(CostLimit, match="core-hours, the limit is 1e-06") as caught:
            lib.index([films], on=cluster)
        assert caught.value.exit_status == 2 and lib.videos() == []


def test_what_turns_out_to_cost_too_much_is_stopped(machines: Machines, films: Path, tmp_path: Path) -> None:
    """A stream whose container does not tell its length is taken for a short one."""
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    liar = render(folder / "liar.h264", (p for n in range(12) for p in moving(n, 0, 8)), fps=15, format="h264")
    (folder / "0.h264").write_bytes(4 * liar.read_bytes())
    liar.unlink()
    with Cluster(machines.address, settings=SMALL, max_cost=1) as cluster, patient(tmp_path / "lib") as lib:
        lib.index([folder / "00.mp4"], on=cluster)  # the processes have begun, which costs as well
        cluster._allowance.limit = cluster.core_hours[0] * 3600
        for _ in range(30):  # a process that begins meanwhile spends too, so the estimate of all may grow
            with pytest.raises(CostLimit) as stopped:
                lib.index([folder], on=cluster)
            estimate = re.search(r"estimated at (\S+) core-hours", str(stopped.value))
            if estimate is None:
                break
            assert len(lib.videos()) == 1
            cluster._allowance.limit = float(estimate[1]) * 3600 + 0.3
        assert "core-hours were spent" in str(stopped.value)
        assert 1 <= len(lib.videos()) < 13
        whole(lib)


@pytest.mark.parametrize("address", ["auto", "ray://127.0.0.1:10001", "127.0.0.1", "somewhere:99999", ""])
def test_only_an_address_is_connected_to(address: str) -> None:
    with pytest.raises(ConfigError, match="no address of a Ray cluster"):
        Cluster(address)


def test_an_address_where_nothing_answers(tmp_path: Path, films: Path) -> None:
    started = time.monotonic()
    process = command(films, tmp_path / "lib", "127.0.0.1:9")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 3 and not out and err.startswith("error: no Ray cluster answers at 127.0.0.1:9")
    assert time.monotonic() - started < 120
    assert not (tmp_path / "lib" / "library.json").exists()


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_cannot_be(value: float) -> None:
    with pytest.raises(ConfigError, match="limit of cost"):
        Cluster("local", max_cost=value)


def test_a_limit_without_a_cluster(tmp_path: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "footage",
        "index",
        str(tmp_path),
        "--library",
        str(tmp_path / "l"),
        "--max-cost",
        "1",
    ]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--max-cost is for --ray" in done.stderr


def test_without_ray_it_says_what_to_install(tmp_path: Path, films: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; sys.argv[0] = 'footage'\nfrom footage.cli import main\nmain()"
    line = [sys.executable, "-c", code, "index", str(films), "--library", str(tmp_path / "lib"), "--ray", "local"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.endswith("error: Ray is not installed\n\nhint: run: pip install 'footage[ray]'\n")


def test_a_local_cluster_is_here_only_and_goes_again(films: Path, tmp_path: Path) -> None:
    """Its servers listen on the loopback alone; nothing is left when it is closed."""
    code = """
import json, os, sys, psutil
from pathlib import Path
from footage.cluster import Cluster
before, temp = dict(os.environ), set(os.listdir("/tmp"))
with Cluster("local") as cluster:
    me = psutil.Process()
    family = [me, *me.children(recursive=True)]
    ears = [c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == "LISTEN"]
    import ray
    told = {"ears": ears, "names": [" ".join(p.cmdline())[:90] for p in family], "cpus": ray.cluster_resources()["CPU"]}
    told["folders"] = [n for n in set(os.listdir("/tmp")) - temp if n.startswith("footage-ray-")]
_, alive = psutil.wait_procs(family[1:], timeout=120)
told["alive"] = [" ".join(p.cmdline()) for p in alive if p.status() != "zombie"]
told["environment"] = dict(os.environ) == before
told["left"] = [n for n in told["folders"] if Path("/tmp", n).exists()]
print(json.dumps(told))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ears"] and {ip.removeprefix("::ffff:") for ip in told["ears"]} == {"127.0.0.1"}
    assert told["cpus"] == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else told["cpus"] >= 1
    assert told["alive"] == [] and told["environment"] and len(told["folders"]) == 1 and told["left"] == []
    assert done.stderr == ""


def test_videos_behind_urls(s3: Store, films: Path, alone: Path, tmp_path: Path) -> None:
    """On this machine the processes have the credentials of the command; the library is the same, under other names."""
    for file in films.iterdir():
        s3.put(f"films/{file.name}", file)
    secret = s3.put("films/secret.mp4", films / "09.mp4")
    s3.gate.deny = lambda path: path.endswith("secret.mp4")
    s3.gate.clear()
    process = command(s3.url("films"), tmp_path / "lib", "local")
    out, err = process.communicate(timeout=900)
    told = {line["path"].rpartition("/")[2]: line for line in map(json.loads, out.splitlines())}
    assert process.returncode == 1 and "Traceback" not in err, err
    assert {name for name, line in told.items() if line["status"] == "failed"} == {"bad.mp4", "secret.mp4"}
    assert told["secret.mp4"]["error"].startswith(f"not allowed to read: {secret}"), told["secret.mp4"]
    size = sum(file.stat().st_size for file in films.iterdir())
    assert size < s3.gate.sent < 4 * size, "each is read for its estimate, for its digest, and to be decoded"
    with library(tmp_path / "lib") as lib, library(alone) as expected:
        assert {v.id: v.samples for v in lib.videos()} == {v.id: v.samples for v in expected.videos()}
        assert {f.path for v in lib.videos() for f in v.files} == {s3.url(f"films/{n}") for n in told} - {
            s3.url("films/bad.mp4"),
            secret,
        }
        for space in lib._opened().spaces():
            for video in lib.videos():
                one, two = (each._opened().vectors(space.name, video.id).vectors for each in (lib, expected))
                np.testing.assert_allclose(one, two, atol=2e-3)
        whole(lib)
    written = b"".join(file.read_bytes() for file in (tmp_path / "lib").rglob("*") if file.is_file())
    assert s3.environ["AWS_SECRET_ACCESS_KEY"].encode() not in written


def test_a_video_behind_a_url_is_split(s3: Store, films: Path, alone: Path, tmp_path: Path) -> None:
    url = s3.put("films/long.mp4", films / "long.mp4")
    code = f"""
from footage import Library
from footage.cluster import Cluster, ClusterSettings
with Cluster("local", settings=ClusterSettings(group=1, part_cost=0.02)) as cluster:
    orders, give = [], cluster._crew.give
    cluster._crew.give = lambda m, o, **k: (orders.append(o.what), give(m, o, **k))
    [result] = Library.open({str(tmp_path / "lib")!r}).index([{url!r}], on=cluster)
    print(result.status, orders.count("part") > 1)
"""
    env = {**os.environ, "FOOTAGE_MODEL": "starter"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert done.stdout.split() == ["indexed", "True"] and not done.stderr, done.stderr
    with library(tmp_path / "lib") as lib, library(alone) as expected:
        [video] = lib.videos()
        assert (video.samples, video.files[0].path) == (
            next(v.samples for v in expected.videos() if v.id == video.id),
            url,
        )


def test_machines_without_credentials(cluster: Cluster, s3: Store, films: Path, tmp_path: Path) -> None:
    """Those of a cluster have their own, or none: nothing of ours is sent to them."""
    url = s3.put("films/00.mp4", films / "00.mp4")
    with patient(tmp_path / "lib") as lib:
        [result] = lib.index([url], on=cluster)
        assert result.status == "failed" and isinstance(result.error, MediaNotFound)
        assert result.error.message == f"not to be read on another machine of the cluster: {url}"
        assert result.error.hint == "every machine of the cluster wants its own credentials: nothing of them is sent"


def test_the_example_of_the_page_runs(films: Path, alone: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(from footage import Library\nfrom footage.cluster.*?)```", page, re.DOTALL)
    (tmp_path / "videos").symlink_to(films)
    env = {**os.environ, "FOOTAGE_MODEL": "starter"}
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0 and not done.stdout and not done.stderr, done.stderr
    with library(tmp_path / "my.footage") as lib, library(alone) as expected:
        assert {v.id: v.samples for v in lib.videos()} == {v.id: v.samples for v in expected.videos()}


def test_encoders_of_the_caller_cannot_be_sent(cluster: Cluster, films: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    class Own:
        def __getattr__(self, name: str) -> Any:
            return getattr(encoder().encoders[0], name)  # type: ignore[attr-defined]

        @property
        def row(self) -> Any:
            return replace(encoder().encoders[0].row, name="my-own")  # type: ignore[attr-defined]

    with (
        Library.open(tmp_path / "lib", encoder=Own()) as lib,  # type: ignore[arg-type]
        pytest.raises(ConfigError, match="an encoder of your own cannot be sent to other processes: my-own"),
    ):
        lib.index([films], on=cluster)
