"""The only door to Ray: connecting, hands on every machine, orders to them, and what became of them.

Ray's own retries are off: which work is done again, and how often, is decided by whoever gives the orders.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from footage.cluster.hand import Hand
from footage.cluster.orders import Answer, Order, Ready, Report, Spec
from footage.cluster.split import Gone, Open
from footage.errors import ClusterUnavailable, ConfigError, FootageError

INSTALL = "pip install 'footage[ray]'"
_CONNECT = 5.0  # seconds to wait for an address to answer
_STARTS = 2  # on a machine that is busy, Ray gives itself up after 30 s
_FETCH = 120.0  # seconds to wait for something that another machine keeps
_ROOM = 120.0  # seconds to wait for the first hand
_LOOK = 1.0  # seconds between two looks at the machines
_STRIKES = 3  # hands that died before they were ready, after which a machine is left alone
_AHEAD = 2  # answers of an order that may wait to be fetched
_STORE_BYTES = 512 << 20  # shared memory of a local cluster; what does not fit goes to disk


@dataclass(slots=True, eq=False)
class Mate:
    """One hand, as its driver sees it."""

    node: str
    actor: Any
    slots: int
    place: int  # its number on this machine
    ready: bool = False
    alone: bool = False  # it carries out an order that may kill it
    orders: dict[Any, Order] = field(default_factory=dict[Any, Order])
    report: Report = field(default_factory=Report)

    @property
    def free(self) -> bool:
        """Whether it can take another order."""
        return self.ready and not self.alone and len(self.orders) < self.slots


@dataclass(frozen=True, slots=True)
class Answered:
    """Something came of an order; `again` gives it once more, as long as its machine lives."""

    mate: Mate
    order: Order
    answer: Answer
    again: Open


@dataclass(frozen=True, slots=True)
class Died:
    """A hand is gone with everything that it was at; not with what it had told the last of."""

    orders: list[Order]
    alone: bool
    machine: bool  # its whole machine is gone, so that no file is to blame


Event: TypeAlias = Answered | Died


class Crew:
    """The hands of a cluster. One at a time in a process, for Ray knows only one."""

    def __init__(self, address: str, group: int) -> None:
        """Connect to the Ray cluster at HOST:PORT, or start a `local` one. `group` cores make a hand.

        Raises:
            ConfigError: no such address can be.
            ClusterUnavailable: Ray is not installed, or nothing answers.
        """
        self._group = group
        self._mates: list[Mate] = []
        self._starting: dict[Any, Mate] = {}
        self._strikes: dict[str, int] = {}
        self._spec: Spec | None = None
        self._looked = 0.0
        self._since = time.monotonic()
        self._spent_before = Report()
        self.notes: list[str] = []
        """Machines that could not help, and why."""
        self._last_error: FootageError | None = None
        self._environment: dict[str, str | None] = {}
        self._folder: str | None = None  # of a local cluster: its sockets, logs, and what does not fit in memory
        self.local = address == "local"
        host, port = ("", 0) if self.local else _parsed(address)
        ray = self._ray = self._imported()
        if ray.is_initialized():
            self._restore()
            raise ClusterUnavailable("this process is connected to a Ray cluster already", hint="close that one first")
        try:
            with _own_signals():
                if self.local:
                    self._start_local()
                else:
                    self._connect(host, port)
        except BaseException:
            self.close()
            raise

    # ----------------------------------------------------------------------------------------------------- connecting

    def _imported(self) -> Any:
        settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
        if self.local:
            # Read when ray is imported. It is what binds Ray's servers to the loopback: an address given to ray.init
            # is replaced by that of a network card (Ray 2.60). The token keeps other users of the machine out.
            settings |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
            settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._environment = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            import ray
            from ray._private import worker
        except ImportError as error:
            self._restore()
            raise ClusterUnavailable("Ray is not installed", hint=f"run: {INSTALL}") from error
        if hasattr(worker, "print_to_stdstream"):  # it prints the last words of a process to our standard output
            worker.print_to_stdstream = _silent
        return ray

    def _start_local(self) -> None:
        if os.name == "posix":  # the names of sockets may be some hundred letters long, so not in a long TMPDIR
            self._folder = tempfile.mkdtemp(prefix="footage-ray-", dir="/tmp")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        ip = self._started_at(cores)
        if not ip.startswith("127.") and ip != "::1":
            raise ClusterUnavailable(
                f"Ray would listen at {ip} and not on the loopback alone",
                hint="`import ray` only after the cluster was opened",
            )

    def _started_at(self, cores: int, more: int = _STARTS - 1) -> str:
        """Start Ray; gives the address at which it listens."""
        try:
            context = self._ray.init(
                address="local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                _temp_dir=self._folder,
                **_quiet(),
            )
        except Exception as error:  # Ray raises bare ones
            self._ray.shutdown()
            if more:
                return self._started_at(cores, more - 1)
            raise ClusterUnavailable(
                f"Ray does not start here: {_first_line(error)}", hint="try again when less is going on"
            ) from error
        return str(context.address_info["node_ip_address"])

    def _connect(self, host: str, port: int) -> None:
        address = f"{host}:{port}"
        try:
            socket.create_connection((host, port), timeout=_CONNECT).close()
        except OSError as error:
            raise ClusterUnavailable(
                f"no Ray cluster answers at {address}: {error.strerror or error}",
                hint="ray start --head on one machine; or use: --ray local",
            ) from error
        try:
            self._ray.init(address=address, **_quiet())
        except Exception as error:  # Ray raises bare ones
            raise ClusterUnavailable(
                f"cannot join the Ray cluster at {address}: {_first_line(error)}",
                hint="this machine must belong to it (ray start --address), with the same Ray, Python and token",
            ) from error

    def close(self) -> None:
        """Let the hands go, and stop what was started here."""
        for mate in list(self._mates):
            self._dismiss(mate)
        if self._ray.is_initialized():
            with _own_signals():
                self._ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._restore()

    def _restore(self) -> None:
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._environment = {}

    # ---------------------------------------------------------------------------------------------------------- hands

    def recruit(self, spec: Spec) -> None:
        """Have hands on every machine for this library, if there are others yet."""
        if spec != self._spec:
            for mate in list(self._mates):
                self._dismiss(mate)
            self._spec, self._looked, self._since = spec, 0.0, time.monotonic()

    @property
    def mates(self) -> list[Mate]:
        """The hands that can work."""
        return [mate for mate in self._mates if mate.ready]

    @property
    def spent(self) -> Report:
        """Seconds that all hands have spent, also those that are gone."""
        out = self._spent_before
        for mate in self._mates:
            out = _sum(out, mate.report)
        return out

    def _look(self) -> None:
        """Start hands on machines that lack some."""
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        nodes = self._nodes()
        for node, resources in nodes.items():
            if self._strikes.get(node, 0) >= _STRIKES:
                continue
            count, how = self._shape(resources)
            taken = {mate.place for mate in self._mates if mate.node == node}
            for place in sorted(set(range(count)) - taken):
                self._hire(node, place, count, how)
        if not self.mates and not self._starting and self._last_error is not None:
            raise self._last_error
        if not self.mates and time.monotonic() - self._since > _ROOM:
            raise ClusterUnavailable(
                f"no machine of the cluster had room for {_ROOM:.0f} s",
                hint="see `ray status`; others may be using it" if nodes else "it has no processors",
            )
        if self.mates:
            self._since = time.monotonic()

    def _nodes(self) -> dict[str, Mapping[str, float]]:
        alive = [node for node in self._ray.nodes() if node["Alive"]]
        return {node["NodeID"]: node["Resources"] for node in alive if node["Resources"].get("CPU", 0) >= 1}

    def _shape(self, resources: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """(hands, what each one takes) of a machine: one a GPU, or one for a group of cores."""
        cores, gpus = int(resources["CPU"]), int(resources.get("GPU", 0))
        if gpus and self._spec is not None and self._spec.device != "cpu":
            count = min(gpus, cores)
            return count, {"num_cpus": cores // count, "num_gpus": 1}
        count = max(1, math.ceil(cores / self._group))
        return count, {"num_cpus": cores // count}

    def _hire(self, node: str, place: int, count: int, how: dict[str, float]) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        slots = max(2, int(how["num_cpus"]))
        kind = self._ray.remote(Hand).options(
            **how,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=slots + 1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False),
        )
        actor = kind.remote(self._spec, (place, count))
        mate = Mate(node, actor, slots, place)
        self._mates.append(mate)
        self._starting[actor.ready.remote()] = mate

    def _dismiss(self, mate: Mate) -> None:
        if mate in self._mates:
            self._mates.remove(mate)
            self._spent_before = _sum(self._spent_before, mate.report)
        for ref in [ref for ref, other in self._starting.items() if other is mate]:
            del self._starting[ref]
        mate.orders.clear()
        if self._ray.is_initialized():
            self._ray.kill(mate.actor)

    def drop_work(self) -> None:
        """End the hands that are at work; others take their places."""
        for mate in [mate for mate in self._mates if mate.orders]:
            self._dismiss(mate)

    # --------------------------------------------------------------------------------------------------------- orders

    def lives(self, mate: Mate) -> bool:
        """Whether a hand answers; one that is gone while it was at nothing makes no event, and is let go here."""
        try:
            return bool(self._ray.get(mate.actor.lives.remote(), timeout=_FETCH))
        except self._ray.exceptions.RayError:
            self._dismiss(mate)
            self._looked = 0.0
            return False

    def give(self, mate: Mate, order: Order, *, alone: bool = False) -> None:
        """Give an order to a hand that is free."""
        mate.alone = alone
        how = {"num_returns": "streaming", "_generator_backpressure_num_objects": _AHEAD}
        mate.orders[mate.actor.run.options(**how).remote(order)] = order

    def events(self, seconds: float) -> list[Event]:
        """What happened, waiting so long at most for something to."""
        self._look()
        waiting: dict[Any, Mate] = {stream: mate for mate in self._mates for stream in mate.orders} | self._starting
        if not waiting:
            time.sleep(min(seconds, 0.1))
            return []
        some, _ = self._ray.wait(list(waiting), num_returns=1, timeout=seconds)
        if not some:
            return []
        now, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
        out: list[Event] = []
        for ref in now or some:
            mate = waiting[ref]
            if ref in self._starting:
                self._started(ref, mate)
            elif ref in mate.orders:
                out.append(self._event(ref, mate))
        return out

    def _started(self, ref: Any, mate: Mate) -> None:
        del self._starting[ref]
        try:
            found = self._ray.get(ref, timeout=_FETCH)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:  # the process or its machine is gone, or there is no room
            self._strikes[mate.node] = self._strikes.get(mate.node, 0) + 1
            self._last_error = ClusterUnavailable(
                f"a process of the cluster ended while it started: {_first_line(error)}",
                hint="Footage, with Ray, must be installed on every machine",
            )
            self._dismiss(mate)
            return
        if isinstance(found, Ready):
            mate.ready, self._last_error = True, None
            return
        self._strikes[mate.node] = _STRIKES
        self._last_error = found
        self.notes.append(f"a machine of the cluster cannot help: {found.message}")
        self._dismiss(mate)

    def _event(self, stream: Any, mate: Mate) -> Event:
        order = mate.orders[stream]
        errors = self._ray.exceptions
        try:
            ref = next(stream)
            answer = self._ray.get(ref, timeout=_FETCH)
        except errors.RayTaskError as error:
            cause: BaseException = error.cause
            raise cause if isinstance(cause, FootageError) else error from None
        except errors.RayError:  # the process, its machine, or what it had given is gone
            died = Died(list(mate.orders.values()), mate.alone, mate.node not in self._nodes())
            self._dismiss(mate)
            self._looked = 0.0
            return died
        mate.report = answer.report
        if answer.last:  # not at the end of its stream: should the process die before that, it is done all the same
            del mate.orders[stream]
            mate.alone = False
        return Answered(mate, order, answer, partial(self._again, ref))

    def _again(self, ref: Any) -> Answer:
        try:
            return self._ray.get(ref, timeout=_FETCH)
        except self._ray.exceptions.RayError as error:
            raise Gone from error


def _parsed(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not host or "/" in address or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"no address of a Ray cluster: {address}", hint="give HOST:PORT, or: local")
    return host.strip("[]") if host.startswith("[") else host, int(port)


def _quiet() -> dict[str, Any]:
    return {
        "namespace": "footage",
        "log_to_driver": False,
        "configure_logging": False,
        "logging_level": logging.ERROR,
    }


def _silent(*_: Any, **__: Any) -> None:
    pass


@contextmanager
def _own_signals() -> Generator[None]:
    """Keep our handlers: Ray puts its own in the place of that of SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _sum(a: Report, b: Report) -> Report:
    return Report(a.cpu + b.cpu, a.load + b.load, a.encode + b.encode)
