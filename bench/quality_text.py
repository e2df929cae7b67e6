"""How well words find real video with the starter encoder, and how well its scores tell "here" from "not here".

    python bench/quality_text.py [--data FOLDER] [--json] [--ablation]

Needs the real clips (`../shared/data`, or --data). Library: every clip and still of captioned, actions, stills, long,
copies and speech, one frame a second. A clip's score is the mean of its best two frames. Each caption counts so that
every clip has the same weight. Choices were made on half A of the clips (by a digest of the path); half B reports.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from footage.encoders.starter import Starter
from footage.encoders.starter import index as index_module
from footage.encoders.starter.words import latin, normalise, unit
from footage.errors import MediaError
from footage.media import open_video, read_picture, resize

SETS = ("captioned", "actions", "stills", "long", "copies", "speech")
# What people call the things on the stills; the first word is the label of the data set.
NOUNS = """tench,fish,carp,man with a fish;bulbul;tailed frog,frog,frogs,toad;Komodo dragon,lizard,reptile
green mamba,snake,snakes,green snake;black grouse,grouse;toucan,toucans,bird with a big beak;conch,sea shell,shells
black stork,stork;pelican,pelicans;Afghan hound;Saluki,greyhound;cairn,terrier;Labrador retriever,labrador
groenendael,black shepherd dog;Appenzeller;Newfoundland;coyote,wolf,coyotes;leopard,leopards,big cat
leaf beetle,beetle,bug,insect;damselfly,dragonfly;marmot,groundhog,rodent;impala,antelope,gazelle;gibbon,ape,monkey
indri,lemur;academic gown,graduation,graduates;balance beam,gymnastics,gymnast;bassoon,woodwind instrument
birdhouse,bird house;buckle,belt buckle,belt;cash machine,ATM;Christmas stocking,christmas;corkscrew,wine opener
dial telephone,old phone,telephone,phone;Dutch oven,cooking pot;football helmet,american football,football player
gondola,venice,canal boat;hard disc,hard drive,computer hardware;jean,jeans,denim,trousers;library,books,bookshelf
manhole cover,manhole;minivan,van;mountain tent,tent,camping;oscilloscope;parking meter;pill bottle,pills,medicine
pool table,billiards,snooker;racket,tennis,tennis player;rugby ball,rugby;screwdriver,tool;slot,slot machine,casino
spindle,yarn,spinning wool;stupa,temple,pagoda;tape player,cassette player,tape recorder;tow truck;unicycle
washbasin,sink,wash basin;worm fence,wooden fence,fence;ice cream,dessert;artichoke,artichokes
chocolate sauce,chocolate;promontory,cliff by the sea,coastline;agaric,mushroom,mushrooms,toadstool"""
# Chinese names of stills, as people write them.
CHINESE = """toucan,巨嘴鸟;pelican,鹈鹕;leopard,豹子;gibbon,长臂猿;library,图书馆;tow truck,拖车
unicycle,独轮车;ice cream,冰淇淋;agaric,蘑菇;washbasin,洗脸盆;tailed frog,青蛙
green mamba,绿色的蛇;Komodo dragon,大蜥蜴;jean,牛仔裤;minivan,面包车
mountain tent,帐篷;screwdriver,螺丝刀;gondola,威尼斯小船;dial telephone,老式电话
pill bottle,药瓶;pool table,台球桌;racket,网球拍;rugby ball,橄榄球;slot,老虎机
stupa,佛塔;worm fence,木栅栏;artichoke,洋蓟;coyote,狼;damselfly,蜻蜓;impala,羚羊
cash machine,取款机;corkscrew,开瓶器;parking meter,停车计时器;tench,钓鱼
Labrador retriever,拉布拉多犬;black stork,黑鹳;conch,海螺;hard disc,硬盘
football helmet,橄榄球头盔;manhole cover,井盖"""
# Things that none of the files shows: every answer to them is wrong.
ABSENT = """zebra;giraffe;penguin;elephant;submarine;volcano;violin;helicopter;steam train;igloo;jellyfish;castle
peacock;school bus;harp;space shuttle;windmill;totem pole;octopus;hippopotamus;polar bear;kangaroo;koala;camel;lobster
accordion;saxophone;grand piano;hot air balloon;fire truck;airliner;warship;aircraft carrier;parachute;bobsleigh
suspension bridge;lighthouse;mosque;greenhouse;barber shop;church organ;pirate ship;sewing machine;typewriter
microscope;syringe;stethoscope;candle;umbrella;sundial;hourglass;crossword puzzle;pineapple;banana;pizza;hamburger
strawberries;broccoli;a waffle iron;a pretzel;a flock of flamingos in the water;a koala sleeping in a tree
an astronaut floating in space;people sledding down a hill;a man playing the violin on a stage
a steam locomotive crossing a bridge;penguins walking on the ice;a fire engine racing through the city
a plate of spaghetti;a wedding couple cutting the cake;surfers riding big waves;a volcano erupting at night
a girl blowing soap bubbles;an owl sitting on a branch;a herd of sheep on a hill;a spider in its web"""
ABSENT_CHINESE = """斑马;长颈鹿;企鹅;大象;潜水艇;火山;小提琴;直升机;蒸汽火车;水母;城堡;孔雀;校车;竖琴
风车;章鱼;北极熊;袋鼠;考拉;骆驼;龙虾;手风琴;热气球;消防车;航空母舰;降落伞;灯塔;清真寺
缝纫机;打字机;显微镜;蜡烛;雨伞;沙漏;菠萝;香蕉;披萨;草莓;一群人在冲浪;猫头鹰站在树枝上"""


@dataclass
class Library:
    """Frames of all files, in columns."""

    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    sets: list[str] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    features: list[np.ndarray] = field(default_factory=list)
    classes: list[np.ndarray] = field(default_factory=list)
    queries: list[np.ndarray] = field(default_factory=list)  # features of an attacked frame of each file


@dataclass
class Query:
    text: str
    target: int  # file number; -1: nothing in the library
    group: str


def half(path: str) -> int:
    return hashlib.sha256(path.encode()).digest()[0] & 1


def pictures(path: Path, kind: str, every: float) -> list[np.ndarray]:
    """Decode a still, or one frame of a clip every so many seconds, at its own size (at most 640 wide)."""
    if kind == "stills":
        return [read_picture(path)]
    out, due = [], 0.0
    with open_video(path) as reader:
        for frame in reader.frames():
            if frame.time >= due - 1e-3:
                due = frame.time + every
                scale = min(1.0, 640 / frame.width)
                out.append(frame.picture(max(2, round(frame.width * scale)), max(2, round(frame.height * scale))))
    return out


def attack(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Crop up to 8 % off each side, scale to 480 pixels, save as JPEG of quality 40..79, as a saved frame may be."""
    image = Image.fromarray(picture)
    width, height = image.size
    left, top, right, bottom = random.uniform(0, 0.08, 4)
    image = image.crop((int(left * width), int(top * height), int((1 - right) * width), int((1 - bottom) * height)))
    image.thumbnail((480, 480))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(random.integers(40, 80)))
    return read_picture(stream.getvalue())


def forward(encoder: Starter, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fitted = resize(picture, *encoder.input_size(picture.shape[1], picture.shape[0]))
    features, classes = encoder.forward(fitted[None])
    return features[0], classes[0]


def read_library(data: Path, encoder: Starter) -> Library:
    library, random = Library(), np.random.default_rng(0)
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["set"] in SETS]
    for row in rows:
        try:
            frames = pictures(data / row["path"], row["set"], 1.0)
            between = pictures(data / row["path"], row["set"], 0.27)
        except MediaError:
            continue
        if not frames:
            continue
        for frame in frames:
            features, classes = forward(encoder, frame)
            library.owner.append(len(library.paths))
            library.features.append(features)
            library.classes.append(classes)
        library.queries.append(forward(encoder, attack(between[int(random.integers(len(between)))], random))[0])
        library.paths.append(row["path"])
        library.labels.append(row["label"])
        library.sets.append(row["set"])
    return library


def read_queries(data: Path, library: Library) -> list[Query]:
    number = {path: i for i, path in enumerate(library.paths)}
    still = {label: i for i, label in enumerate(library.labels) if library.sets[i] == "stills"}
    queries: list[Query] = []
    for line in (data / "captions.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        target = number[row["video"]]
        queries += [Query(text, target, "captions") for text in row["captions"]]
        queries += [Query(text, target, "captions zh") for text in row.get("captions_zh", [])]
    for words in NOUNS.replace("\n", ";").split(";"):
        label, *others = words.split(",")
        queries += [Query(text, still[label], "nouns") for text in (label, *others)]
    queries += [Query(text, still[label], "nouns zh") for label, text in (pair.split(",") for pair in _lines(CHINESE))]
    queries += [Query(t, -1, "captions" if " " in t and len(t) > 16 else "nouns") for t in _lines(ABSENT)]
    return queries + [Query(text, -1, "nouns zh") for text in _lines(ABSENT_CHINESE)]


def _lines(text: str) -> list[str]:
    return text.replace("\n", ";").split(";")


Scorer = Callable[[list[str], np.ndarray], np.ndarray]  # (texts, class weights (n, 1000)) -> cosines (q, n)


def shipped(encoder: Starter) -> Scorer:
    index = index_module.build()
    return lambda texts, classes: encoder.encode_texts(texts)["starter-text"] @ index.picture(classes).T


def ablations(encoder: Starter) -> dict[str, Scorer]:
    """The shipped scoring with one thing changed."""
    index = index_module.build()

    def words(texts: list[str], classes: np.ndarray) -> np.ndarray:
        vectors = encoder.word_vectors([latin(normalise(t)) for t in texts])
        spoken = unit(classes / classes.sum(axis=1, keepdims=True) @ index.vectors - index.vectors.mean(axis=0))
        return index.words(vectors) @ spoken.T

    def votes(texts: list[str], classes: np.ndarray, power: float = 1.0, projected: bool = False) -> np.ndarray:
        found = index.votes([normalise(t) for t in texts])  # already squared and centred
        if power != 1:
            raw = found - found.min(axis=1, keepdims=True)
            found = unit(raw**power - (raw**power).mean(axis=1, keepdims=True))
        mine = unit(classes - classes.mean(axis=1, keepdims=True))
        if projected:
            found, mine = unit(found @ index.projection), unit(mine @ index.projection)
        return found @ mine.T

    return {
        "word vectors only": words,
        "votes only": lambda t, c: votes(t, c, projected=True),
        "votes not sharpened": lambda t, c: words(t, c) + votes(t, c, 0.5, True),
        "votes at half the weight": lambda t, c: words(t, c) + 0.5 * votes(t, c, projected=True),
        "votes at twice the weight": lambda t, c: words(t, c) + 2 * votes(t, c, projected=True),
        "votes not projected (1256-d)": lambda t, c: words(t, c) + votes(t, c),
        "100 strongest classes only": lambda t, c: shipped(encoder)(t, _strongest(c, 100)),
    }


def _strongest(classes: np.ndarray, count: int) -> np.ndarray:
    floor = np.partition(classes, -count, axis=1)[:, -count, None]
    return np.where(classes >= floor, classes, 0)


def ranks(library: Library, queries: list[Query], cosines: np.ndarray, best: int = 2) -> np.ndarray:
    """Rank of each query's file (0 = first) by the mean of each file's best frames."""
    owner = np.array(library.owner)
    score = np.stack(
        [np.sort(cosines[:, owner == v], axis=1)[:, ::-1][:, :best].mean(axis=1) for v in range(len(library.paths))], 1
    )
    own = score[np.arange(len(queries)), [q.target for q in queries]]
    return (score > own[:, None]).sum(axis=1) + (score == own[:, None]).sum(axis=1) - 1


def recall(library: Library, queries: list[Query], rank: np.ndarray, group: str, which: int | None) -> list[float]:
    """Recall at 1, 5 and 10 in per cent; every file has the same weight."""
    chosen = [
        i
        for i, q in enumerate(queries)
        if q.group == group and (which is None or half(library.paths[q.target]) == which)
    ]
    count = Counter(queries[i].target for i in chosen)
    weight = np.array([1 / count[queries[i].target] for i in chosen])
    return [round(100 * float(np.average(rank[chosen] < k, weights=weight)), 1) for k in (1, 5, 10)]


def table(library: Library, queries: list[Query], scorer: Scorer) -> dict[str, Any]:
    answered = [q for q in queries if q.target >= 0]
    rank = ranks(library, answered, scorer([q.text for q in answered], np.array(library.classes)))
    groups = dict.fromkeys(q.group for q in answered)
    return {g: {h: recall(library, answered, rank, g, w) for h, w in (("A", 0), ("B", 1))} for g in groups}


# -------------------------------------------------------------------------------------- is the answer here at all?


@dataclass
class Trials:
    """Best scores with the true file in the library and without it: columns of length n."""

    stats: dict[str, np.ndarray]
    present: np.ndarray  # bool
    weight: np.ndarray
    half: np.ndarray  # 0 or 1
    group: np.ndarray


def trials(scores: np.ndarray, owner: np.ndarray, hidden: list[set[int]], meta: list[tuple[str, int, float]]) -> Trials:
    """Judge each query twice: over all frames (where it has a true file), and without the frames of `hidden`."""
    rows: list[tuple[float, ...]] = []
    kept: list[tuple[bool, float, int, str]] = []
    for row, out, (group, part, weight) in zip(scores, hidden, meta, strict=True):
        for present in (True, False) if out else (False,):
            seen = row if present else row[~np.isin(owner, list(out))]
            top, median = seen.max(), np.median(seen)
            mad = 1.4826 * np.median(np.abs(seen - median)) + 1e-6
            rows.append((top, top - median, (top - median) / mad, (top - seen.mean()) / (seen.std() + 1e-6)))
            kept.append((present, weight, part, group))
    names = ("cosine", "cosine - median", "z by median and MAD", "z by mean and deviation")
    columns = [np.array(c) for c in zip(*kept, strict=True)]
    return Trials(dict(zip(names, np.array(rows).T, strict=True)), *columns)


def text_trials(library: Library, queries: list[Query], scorer: Scorer) -> Trials:
    cosines = scorer([q.text for q in queries], np.array(library.classes))
    count = Counter((q.group, q.target) for q in queries)
    meta = [
        (
            q.group,
            half(library.paths[q.target] if q.target >= 0 else q.text),
            1 / count[q.group, q.target] if q.target >= 0 else 1.0,
        )
        for q in queries
    ]
    return trials(cosines, np.array(library.owner), [{q.target} if q.target >= 0 else set() for q in queries], meta)


def scene(library: Library, number: int) -> str:
    """Name the scene of a file: files of one scene must vanish together."""
    kind, label, path = library.sets[number], library.labels[number], library.paths[number]
    if kind == "actions":  # handshake, kick and point share actors and place
        return "room" if label in ("handshake", "kick", "point") else label or path
    if kind == "copies":
        return Path(path).name.split("_")[0]
    return "talking" if kind == "speech" else path


def image_trials(library: Library) -> Trials:
    scenes = [scene(library, i) for i in range(len(library.paths))]
    count = Counter(scenes)
    meta = [("image", half(path), 1 / count[s]) for path, s in zip(library.paths, scenes, strict=True)]
    hidden = [{j for j, other in enumerate(scenes) if other == s} for s in scenes]
    return trials(np.array(library.queries) @ np.array(library.features).T, np.array(library.owner), hidden, meta)


def area(values: np.ndarray, present: np.ndarray, weight: np.ndarray) -> float:
    """Area under the ROC curve: how often a present query scores above an absent one."""
    above = (values[present][:, None] > values[~present]) + 0.5 * (values[present][:, None] == values[~present])
    return float(np.average(above, weights=weight[present][:, None] * weight[~present]))


def logistic(values: np.ndarray, present: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Fit sigmoid(a v + b) to presence by Newton's method, both outcomes with the same total weight."""
    w = weight / np.where(present, weight[present].sum(), weight[~present].sum())
    x, beta = np.stack([values, np.ones_like(values)], 1), np.zeros(2)
    centre, spread = values.mean(), values.std()
    x[:, 0] = (values - centre) / spread
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ beta))
        hessian = (x * (w * p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        beta += np.linalg.solve(hessian, x.T @ (w * (present - p)) - 1e-6 * beta)
    return float(beta[0] / spread), float(beta[1] - beta[0] * centre / spread)


def separation(found: Trials) -> dict[str, Any]:
    """Fit on half A, report on half B; the area is over both."""
    out: dict[str, Any] = {}
    groups = np.unique(found.group)
    weight = found.weight.copy()
    for g in groups:  # every kind of query counts the same
        for outcome in (True, False):
            m = (found.group == g) & (found.present == outcome)
            weight[m] /= weight[m].sum()
    for name, values in found.stats.items():
        a, b = found.half == 0, found.half == 1
        gain, offset = logistic(values[a], found.present[a], weight[a])
        yes = gain * values + offset > 0
        out[name] = {
            "auc": round(area(values, found.present, weight), 3),
            "auc by group": {
                str(g): round(area(values[m], found.present[m], weight[m]), 3)
                for g in groups
                for m in [found.group == g]
            },
            "a": round(gain, 3),
            "b": round(offset, 3),
            "here but denied": round(float(np.average(~yes[b & found.present], weights=weight[b & found.present])), 3),
            "absent but claimed": round(
                float(np.average(yes[b & ~found.present], weights=weight[b & ~found.present])), 3
            ),
        }
    return out


def write_projection(path: Path) -> None:
    """Compute the packaged projection anew: to be done when the class texts change much (any fixed one works)."""
    index = index_module.build()
    matrix = np.zeros((len(index.vectors), len(index.starts) - 1))
    for term in range(matrix.shape[1]):
        postings = slice(index.starts[term], index.starts[term + 1])
        matrix[index.classes[postings], term] = index.weights[postings]
    matrix = matrix - matrix.mean(axis=0)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    columns = np.linalg.eigh(matrix @ matrix.T)[1][:, ::-1][:, :384]
    np.save(path, np.round(columns / np.abs(columns).max(axis=0) * 127).astype(np.int8))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ablation", action="store_true", help="measure the scoring choices too")
    parser.add_argument("--projection", type=Path, help="only write the projection of the class weights to this file")
    options = parser.parse_args()
    if options.projection:
        write_projection(options.projection)
        return 0
    if not (options.data / "manifest.csv").exists():
        print(f"no clips in {options.data}: give --data", file=sys.stderr)
        return 2
    encoder = Starter()
    library = read_library(options.data, encoder)
    queries = read_queries(options.data, library)
    scorers = {"shipped": shipped(encoder), **(ablations(encoder) if options.ablation else {})}
    result = {
        "files": len(library.paths),
        "frames": len(library.owner),
        "queries": Counter(q.group for q in queries if q.target >= 0),
        "recall at 1, 5, 10": {name: table(library, queries, scorer) for name, scorer in scorers.items()},
        "strength of words": separation(text_trials(library, queries, scorers["shipped"])),
        "strength of pictures": separation(image_trials(library)),
    }
    if options.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        show(result)
    return 0


def show(result: dict[str, Any]) -> None:
    print(f"{result['files']} files, {result['frames']} frames, queries {dict(result['queries'])}\n")
    for name, groups in result["recall at 1, 5, 10"].items():
        cells = (f"{g} A {h['A']} B {h['B']}" for g, h in groups.items())
        print(f"{name:32}", " | ".join(cells))
    for kind in ("strength of words", "strength of pictures"):
        print(f"\n{kind}")
        for name, row in result[kind].items():
            print(f"  {name:26}", " ".join(f"{k}: {v}" for k, v in row.items()))


if __name__ == "__main__":
    raise SystemExit(main())
