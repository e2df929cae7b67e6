"""How far each engine carries: from ten thousand to ten million samples, side by side.

    python bench/scale.py 10000 100000 1000000                 Lance, Milvus Lite, numpy and faiss
    python bench/scale.py 10000000 --engines lance faiss       what holds that many here
    python bench/scale.py 100000 --engines milvus --milvus http://127.0.0.1:19530
    python bench/scale.py 1000000 --engines lance --folder STORES --out RESULTS.jsonl
    python bench/scale.py --table RESULTS.jsonl --plot docs/images/scale.svg

Each engine at each size is filled in one process and asked in another, so that memory is told apart: `build_mb` is the
peak of the process that fills it, `mb` of the one that only asks; of a Milvus server, of the server that was started
anew to be asked. Without `--milvus` that is the standalone binary of the package `milvus` (Linux), as tests start it.
Each store is made for as many rows as will come, as `footage migrate` does, so its index is the one that the table in
docs/scale.md names; `--index` takes another. With `--folder` a store that is there already is not filled but only
asked, and so again in a quieter minute.

The library is synthetic (`bench/synthetic.py`); of 200 queries half are disturbed samples, half new points. A hit
counts for recall if its exact score reaches the tenth best. numpy (float32, all in memory, `matrix @ query` and
`argpartition`) and faiss (`IVF,SQfp16`, 4 x the root of n lists, 4,096 at most; the fewest probes that reach the recall
of 0.97 on queries of their own) are the floors: they neither write to disk nor know of commits.

Results are appended to `--out` as they come, one JSON object a line, so a long run may be done in parts. Each tells the
`load` of the machine when it was asked. Of several with the same engine, size and index, the table takes the last.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from synthetic import PER_VIDEO, Draw, Vectors, rows_of

from footage.stores import Access, Store, open_store
from footage.stores.milvus.indexes import chosen
from footage.types import Hits, Space

K, WARM, COUNT = 10, 20, 200
REFRESH = 500_000  # rows between two calls of `refresh`; an ingest does it oftener
ENGINES = ("lance", "milvus-lite", "milvus", "numpy", "faiss")
SPACE = "image"
INDEXED = 1800.0  # seconds to wait for a server to build its indexes


def peak_mb(process: int | str = "self") -> int:
    """The most memory that a process has had; what `getrusage` tells counts that of its parent, too."""
    status = Path(f"/proc/{process}/status")
    if status.exists():
        return round(int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


class Stored:
    """A store of Footage."""

    def __init__(self, given: argparse.Namespace) -> None:
        rows, dim = given.fill or given.ask, given.dim
        self.rows, self.wanted = rows, given.index
        self.store: Store = open_store(given.uri, name=f"n{rows}_{dim}", access=Access(index=given.index, rows=rows))
        self.space = Space(SPACE, dim, ("image",))

    def fill(self, draw: Draw, rows: int) -> dict[str, Any]:
        """Write as an ingest does: add, commit, and bring in order now and then."""
        self.store.create_space(self.space)
        inserting, refreshing, done = 0.0, 0.0, 0
        for numbers, vectors in draw.batches(rows):
            embeddings, videos = rows_of(self.space, numbers, vectors)
            started = time.perf_counter()
            self.store.add(embeddings)
            self.store.commit(videos)
            inserting += time.perf_counter() - started
            done += len(vectors)
            if done % REFRESH == 0 or done >= rows:
                started = time.perf_counter()
                self.store.refresh()
                if done >= rows:
                    self.indexed()
                refreshing += time.perf_counter() - started
        kind = {"index": self.index} if self.index else {}
        self.store.close()
        return {"insert_rows_s": round(rows / inserting), "build_s": round(refreshing, 1)} | kind

    @property
    def index(self) -> str:
        """The kind of index of Milvus."""
        link: Any = getattr(self.store, "link", None)
        return "" if link is None else chosen(link.able, self.rows, self.wanted).name

    def indexed(self) -> None:
        """Wait until a server has built its indexes, which it does by itself."""
        link: Any = getattr(self.store, "link", None)
        if link is None or link.able.lite:
            return
        until = time.monotonic() + INDEXED
        for name in link.call("list_collections"):
            field = "vector" if "_space_" in name else "summary"
            while link.call("describe_index", name, index_name=field).get("pending_index_rows", 0):
                if time.monotonic() > until:
                    raise TimeoutError(f"{name} has no index after {INDEXED:.0f} s")
                time.sleep(1)

    def ask(self, query: Vectors) -> list[tuple[int, int]]:
        """The videos and samples of the ten best."""
        hits: Hits = self.store.search(SPACE, query[None], K)[0]
        return [(int(i, 16), round(at)) for i, at in zip(hits.video_ids, hits.at, strict=True)]


class Numpy:
    """All vectors in memory, and every one compared."""

    def __init__(self, draw: Draw, rows: int) -> None:
        self.matrix = np.empty((rows, draw.dim), np.float32)
        for numbers, vectors in draw.batches(rows):
            self.matrix[numbers.start * PER_VIDEO :][: len(vectors)] = vectors

    def ask(self, query: Vectors) -> list[tuple[int, int]]:
        """The videos and samples of the ten best."""
        scores = self.matrix @ query
        best = np.argpartition(scores, len(scores) - K)[-K:]
        return [divmod(int(i), PER_VIDEO) for i in best[np.argsort(-scores[best])]]


class Faiss:
    """An inverted file in memory, half precision."""

    def __init__(self, draw: Draw, rows: int) -> None:
        import faiss

        self.faiss: Any = faiss
        lists = min(4096, round(4 * rows**0.5))
        self.index: Any = faiss.index_factory(draw.dim, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
        wanted = min(rows // PER_VIDEO, 40 * lists // PER_VIDEO)
        spread = np.linspace(0, rows // PER_VIDEO - 1, wanted).astype(int)
        self.index.train(np.concatenate([draw.video(int(number)) for number in spread]))
        for _, vectors in draw.batches(rows):
            self.index.add(vectors)

    def tune(self, draw: Draw, rows: int) -> int:
        """Take the fewest probes that find 0.97 of what all probes but a few find, on queries of their own."""
        asked = draw.queries(rows, 64)
        self.index.nprobe = min(self.index.nlist, 1024)
        best = self.index.search(asked, K)[0][:, -1:]
        for probes in (2**i for i in range(11)):
            self.index.nprobe = probes
            if (self.index.search(asked, K)[0] >= best - 1e-6).mean() >= 0.97:
                return probes
        return self.index.nprobe

    def ask(self, query: Vectors) -> list[tuple[int, int]]:
        """The videos and samples of the ten best."""
        return [divmod(int(i), PER_VIDEO) for i in self.index.search(query[None], K)[1][0] if i >= 0]


def truth(draw: Draw, rows: int, asked: Vectors) -> Vectors:
    """The tenth best exact score of each query, (q,)."""
    best = np.full((len(asked), K), -2.0, np.float32)
    for _, vectors in draw.batches(rows, 250):
        scores = np.concatenate([best, asked @ vectors.T], axis=1)
        best = -np.partition(-scores, K - 1, axis=1)[:, :K]
    return best.min(axis=1)


def answers(engine: Any, draw: Draw, asked: Vectors, tenth: Vectors) -> dict[str, float]:
    """Times and recall of all queries."""
    taken: list[float] = []
    found: list[list[tuple[int, int]]] = []
    for query in np.concatenate([asked[:WARM], asked]):
        started = time.perf_counter()
        found.append(engine.ask(query))
        taken.append((time.perf_counter() - started) * 1e3)
    memory = peak_mb()
    right = 0
    for query, limit, hits in zip(asked, tenth, found[WARM:], strict=True):
        right += sum(float(draw.video(video)[at] @ query) >= limit - 1e-6 for video, at in hits)
    p50, p90, p99 = np.quantile(taken[WARM:], (0.5, 0.9, 0.99))
    return {
        "p50_ms": round(float(p50), 2),
        "p90_ms": round(float(p90), 2),
        "p99_ms": round(float(p99), 2),
        "recall_at_10": round(right / (len(asked) * K), 4),
        "mb": memory,
    }


def fill(given: argparse.Namespace) -> dict[str, Any]:
    """Fill a store; run in a process of its own."""
    told = Stored(given).fill(Draw(given.dim), given.fill)
    return told | {"build_mb": peak_mb()}


def ask(given: argparse.Namespace) -> dict[str, float]:
    """Ask an engine; run in a process of its own."""
    draw, rows = Draw(given.dim), given.ask
    with np.load(given.truth) as kept:
        asked, tenth = kept["asked"], kept["tenth"]
    started = time.perf_counter()
    if given.engine == "numpy":
        return answers(Numpy(draw, rows), draw, asked, tenth)
    if given.engine == "faiss":
        engine = Faiss(draw, rows)
        built = time.perf_counter() - started
        probes = engine.tune(draw, rows)
        return {"build_s": round(built, 1), "probes": probes} | answers(engine, draw, asked, tenth)
    return answers(Stored(given), draw, asked, tenth)


def child(*arguments: str) -> dict[str, Any]:
    """What a process of this script prints."""
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def served(engine: str, place: Path, address: str) -> Generator[tuple[str, int]]:
    """The URI of a store, and the process of a server that is started for it, or 0."""
    if engine != "milvus" or address:
        uris = {"lance": str(place), "milvus-lite": f"milvus:{place}", "milvus": address}
        yield uris.get(engine, ""), 0
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import psutil
    from milvus_server import MilvusProcess

    server = MilvusProcess(place)
    try:
        family = psutil.Process().children(recursive=True)
        yield server.uri, max((p.memory_info().rss, p.pid) for p in family)[1]
    finally:
        server.close()


def one(engine: str, rows: int, dim: int, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Fill and ask one engine with so many samples."""
    known = folder / f"truth-{rows}-{dim}.npz"
    if not known.exists():
        draw = Draw(dim)
        asked = draw.queries(rows, COUNT)
        np.savez(known, asked=asked, tenth=truth(draw, rows, asked))
    place = folder / "-".join(filter(None, (engine, str(rows), str(dim), given.index)))
    kept = place.with_name(place.name + ".json")  # a store that was filled before is asked again
    common = ["--dim", str(dim), "--engine", engine, "--index", given.index, "--truth", str(known)]
    told: dict[str, Any] = {}
    if engine not in ("numpy", "faiss"):
        if not kept.exists():
            with served(engine, place, given.milvus) as (uri, _):
                kept.write_text(json.dumps(child("--fill", str(rows), "--uri", uri, *common)), encoding="utf-8")
        told = json.loads(kept.read_text(encoding="utf-8"))
    load = os.getloadavg()[0]
    with served(engine, place, given.milvus) as (uri, process):
        told |= child("--ask", str(rows), "--uri", uri, *common)
        if process:
            told["mb"] = peak_mb(process)
    if place.exists():
        told["disk_mb"] = round(sum(f.stat().st_size for f in place.rglob("*") if f.is_file()) / 1e6)
    return {"engine": engine, "n": rows, "dim": dim, "load": round(load, 1), **told}


NAMES = {"lance": "Lance", "milvus-lite": "Milvus Lite", "milvus": "Milvus server", "numpy": "numpy", "faiss": "faiss"}
COLUMNS = {
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "recall_at_10": "recall@10",
    "mb": "MB to ask",
    "build_mb": "MB to fill",
    "disk_mb": "MB on disk",
    "insert_rows_s": "rows/s written",
    "build_s": "index built in, s",
    "load": "load when asked",
}


def table(results: list[dict[str, Any]]) -> str:
    """The last result of each engine, size and index as a table in Markdown, by size."""
    lines = ["| engine | samples | " + " | ".join(COLUMNS.values()) + " |", "|---" * (2 + len(COLUMNS)) + "|"]
    last = {(r["engine"], r["n"], r["dim"], r.get("index", "")): r for r in results}
    for row in sorted(last.values(), key=lambda r: (r["dim"], r["n"], ENGINES.index(r["engine"]))):
        name = ", ".join(filter(None, (NAMES[row["engine"]], row.get("index", ""))))
        lines.append(f"| {name} | {row['n']:,} | " + " | ".join(_shown(key, row.get(key)) for key in COLUMNS) + " |")
    return "\n".join(lines)


def _shown(key: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if key == "recall_at_10" else f"{value:,.0f}" if value >= 20 else f"{value:.3g}"


COLOURS = ("#1f5fa8", "#c2571a", "#2a8a57", "#8a8a8a", "#b0b0b0")  # by engine; the floors in grey
BARS = {1_000_000: 25, 10_000_000: 60}  # ms that Lance is to stay below


def plot(results: list[dict[str, Any]], target: str) -> None:
    """Median time by size, both logarithmic: a line for each engine, and the bars of Lance."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "footage", "font.family": "sans-serif", "font.size": 10}
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(figsize=(7.2, 4.2))
    for engine, colour in zip(ENGINES, COLOURS, strict=True):
        last = {r["n"]: r["p50_ms"] for r in results if r["engine"] == engine}
        if last:
            sizes = sorted(last)
            style = "--" if engine in ("numpy", "faiss") else "-"
            line = [last[n] for n in sizes]
            axes.loglog(sizes, line, style, marker="o", markersize=4.5, color=colour, label=NAMES[engine])
    for n, limit in BARS.items():
        axes.plot([n / 1.35, n * 1.35], [limit, limit], color=COLOURS[0], linewidth=3, alpha=0.35)
        box = {"color": "white", "pad": 1}
        axes.annotate(f"bar: {limit} ms", (n * 1.5, limit), va="center", fontsize=8, bbox=box)
    axes.legend(loc="lower right", frameon=False)
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda n, _: f"{n:,.0f}"))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda ms, _: f"{ms:g}"))
    axes.set_xlim(right=axes.get_xlim()[1] * 2.5)
    axes.set_xlabel("samples (256 dimensions)")
    axes.set_ylabel("ten nearest, median ms")
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    """Measure what is asked for; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", help="samples, multiples of 400")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=["lance", "milvus-lite", "numpy", "faiss"])
    parser.add_argument("--milvus", default="", help="address of a server, for the engine `milvus`")
    parser.add_argument("--index", default="", help="kind of index of a Milvus server, in place of the table's")
    parser.add_argument("--folder", help="keep stores and truths here, and use them again")
    parser.add_argument("--out", help="append results to this file")
    parser.add_argument("--table", help="print the results of this file as a table")
    parser.add_argument("--plot", help="draw the results of --table")
    for hidden in ("--engine", "--uri", "--truth"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    for hidden in ("--fill", "--ask"):
        parser.add_argument(hidden, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fill or given.ask:
        print(json.dumps((fill if given.fill else ask)(given)))
        return
    results = [json.loads(line) for line in Path(given.table).read_text().splitlines()] if given.table else []
    with tempfile.TemporaryDirectory() as scratch:
        for rows in given.sizes:
            for engine in given.engines:
                folder = Path(given.folder or scratch)
                folder.mkdir(parents=True, exist_ok=True)
                results.append(one(engine, rows - rows % PER_VIDEO, given.dim, folder, given))
                print(json.dumps(results[-1]), flush=True)
                if given.out:
                    with Path(given.out).open("a") as out:
                        out.write(json.dumps(results[-1]) + "\n")
    print(table(results))
    if given.plot:
        plot(results, given.plot)


if __name__ == "__main__":
    main()
