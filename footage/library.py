"""Library: the one noun. A facade over ingest, search and the stores, with no logic of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footage import doctor as audit
from footage import export as exporting
from footage import migrate as moving
from footage import search as searching
from footage.config import Settings
from footage.encoders import Together
from footage.errors import ConfigError, FootageError, NotIndexed, QueryError
from footage.evaluate import judgements as judging
from footage.evaluate.judgements import Judgement
from footage.frames import FrameStore, decode_jpeg
from footage.home import Home
from footage.ingest import IngestSettings, Progress, ingest
from footage.models import Compared, Dropped, Models, Used, overlap
from footage.pipeline import Stages
from footage.places import Remote, absolute, as_text, is_gone
from footage.sampling import SamplingSettings
from footage.search import Part, Question, SearchSettings, Verifying
from footage.search.repeats import Repeats, read_repeats
from footage.sounds import ENTRY, Landmarks, SoundIndex, unpacked
from footage.stamp import Stamp, replace_json
from footage.stores.address import parsed
from footage.types import Indexed, Match, Moment, Video, Where, spaces_of

if TYPE_CHECKING:
    from footage.alignment import Alignment
    from footage.copies.groups import Group
    from footage.copies.search import Copies, CopySettings
    from footage.copies.within import Inside
    from footage.encoders import Encoder
    from footage.encoders.weights import Step
    from footage.ingest import Ground
    from footage.places import Place
    from footage.search.along import Strip
    from footage.stores import Store
    from footage.types import Roles, TextHit, TimedText, UInt8


class Library:
    """One index over many videos, in a directory.

    ```python
    library = Library.open("my.footage")
    library.index(["holiday"])
    for moment in library.search("a dog on the beach"):
        print(moment.video.path, moment.start, moment.end)
    ```
    """

    def __init__(self, path: Path, settings: Settings, encoder: Encoder | None) -> None:
        self.path = path
        self.stages, self.copy_stages = Stages(), Stages()  # of the searches, and of those for copies of a clip
        cache = Path(settings.cache).expanduser() if settings.cache else None
        self._models = Models(path, cache, settings.fuse, encoder, settings.device)
        self._home = Home(path, settings, self._models)
        self._repeats: tuple[int, Repeats] = 0, Repeats()

    @property
    def settings(self) -> Settings:
        """What applies from the next call on."""
        return self._home.settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._home.settings = settings

    @property
    def frames(self) -> FrameStore:
        """The key frames: beside the vectors, or where the library was made to keep them."""
        return self._home.frames

    @classmethod
    def open(
        cls, path: str | Path = ".footage", *, settings: Settings | None = None, encoder: Encoder | None = None
    ) -> Library:
        """Open the library in this directory; where there is none yet, the first `index` creates it.

        `encoder` takes the place of the one that the library was made with: for encoders of your own.

        Raises:
            SpaceMismatch: it was made by a version of Footage with another layout.
            StoreError: the directory holds something else.
        """
        return cls(absolute(path), settings or Settings(), encoder)

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the store; the library can be used again afterwards."""
        self._home.close()

    # ------------------------------------------------------------------------------------------------ the verbs

    def index(
        self,
        paths: str | Place | Iterable[str | Place],
        *,
        every: float | None = None,
        fast: bool | None = None,
        prune: bool = False,
        model: str | None = None,
        store: str | None = None,
        progress: Progress | None = None,
        on_file: Callable[[Indexed], None] | None = None,
        on_weights: Callable[[Step], None] = lambda _: None,
        on: Ground | None = None,
    ) -> list[Indexed]:
        """Index files and folders; returns what became of each file, and calls `on_file` with it at once.

        The work is done in this process, or `on` a `footage.cluster.Cluster`; the library is written here.

        `store` is where a new library's vectors are to lie: see `footage.stores.address`.

        A new library with the model `auto` may first fetch the weights of the recommended one; `on_weights` is told.

        A bad file is a row with status `failed`; it does not stop the others. Ctrl-C keeps what is finished.

        Raises:
            ConfigError: settings out of range.
            SpaceMismatch: the library was created with another model, or in another store.
            StoreUnavailable: another process is indexing this library, or its store is away.
            EncoderUnavailable: the weights of the model are not here, or could not be fetched.
        """
        given = [paths] if isinstance(paths, (str, Path, Remote)) else list(paths)
        settings = self.settings
        near = {} if settings.near is None else {"near": settings.near}
        sampling = SamplingSettings(
            every=settings.every if every is None else every, fast=settings.fast if fast is None else fast, **near
        )
        how = replace(self._how, sampling=sampling, prune=prune)
        results: list[Indexed] = []
        with self._home.writing(model, on_weights, store):
            run = ingest(
                given,
                store=self._opened(),
                frames=self.frames,
                encoder=self._models.filling(),
                settings=how,
                progress=progress or Progress(),
                skip=self.path,
                on=on,
            )
            with closing(run):  # it winds up before the lock is released, whatever `on_file` raises
                for result in run:
                    results.append(result)
                    if on_file:
                        on_file(result)
            self._note_failures(results, given)
            if any(r.status == "indexed" for r in results):
                self._sounds(self._opened().videos(), keep=True)
            self._home.changed()
        return results

    def search(
        self,
        text: str | None = None,
        *,
        image: Any = None,
        video: str | Place | None = None,
        exclude: str | None = None,
        parts: Sequence[Part] = (),
        where: Where | None = None,
        k: int = 10,
        offset: int = 0,
        per_video: int = 3,
        verify: bool | None = None,
        collapse: bool = True,
        align: bool = True,
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> list[Moment]:
        """Find the moments that answer all parts of the query together, best first.

        `image` is a path, a PIL image, bytes or an RGB array; `exclude` are words for what must not be in it;
        `parts` adds any number of further parts with weights. A query without a good answer still returns the
        nearest moments, with a `strength` below 0.5. `verify` (by default what the settings say) compares the best
        answers to a picture with it once more by keypoints, and puts those that show a part of it first. A clip that is
        the only part is aligned with the videos as by `copies`, unless `align` is off, which is faster: what shows
        seconds of it comes first, with exact times and the `match`; `on_progress` is told how many seconds of it are
        done. With `like` no clip is aligned.

        Raises:
            QueryError: an empty query, or one that this library cannot answer.
            MediaError: the picture or the clip cannot be read.
            NotIndexed: there is no library yet, or it is empty.
            EncoderUnavailable: OpenCV, which verifies, is not installed.
        """
        wanted = list(parts)
        if text is not None:
            wanted.append(searching.parse_part("text", text))
        if image is not None:
            wanted.append(Part("image", image))
        if video is not None:
            wanted.append(Part("video", video))
        if exclude is not None:
            part = searching.parse_part("text", exclude)
            wanted.append(replace(part, weight=-part.weight))
        verify = self.settings.verify if verify is None else verify
        where = where or Where()
        settings = SearchSettings(k, offset, per_video, where, verify=verify, collapse=collapse, align=align)
        (answer,) = self.search_many([Question(wanted, settings, on_progress=on_progress)])
        if isinstance(answer, FootageError):
            raise answer
        return answer

    def copies(
        self,
        path: str | Place,
        *,
        k: int = 100,
        min_probability: float | None = None,
        sound: bool = False,
        where: Where | None = None,
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> list[Match]:
        """Find which seconds of a clip are which seconds of the videos, the most probable first.

        A clip may be attacked (cropped, mirrored, turned, laid into another video, faster, cut) and may join pieces of
        several videos. The evidence says whether the sound is the same too ("sound"), or another ("other sound");
        with `sound`, what is heard under other pictures is a match too. `on_progress` is told the seconds of the clip
        that are done.

        Raises:
            QueryError: settings out of range, or a library whose model has no pictures.
            MediaError: the clip cannot be read.
            NotIndexed: there is no library yet, or it is empty.
        """
        from footage.copies.search import LIKELY, CopySettings

        least = LIKELY if min_probability is None else min_probability
        settings = CopySettings(k=k, min_probability=least, where=where or Where(), sound=sound)
        return self.copy_finder(settings, on_progress=on_progress).find(path)

    def copies_within(
        self,
        *,
        verify: bool = True,
        again: bool = False,
        on_progress: Callable[[str, int, int], None] = lambda _what, _done, _of: None,
    ) -> tuple[Inside, list[Group]]:
        """Find what the library has twice: matches between its videos, shared material, and groups with advice.

        From then on, searches show copies of one moment once, and say where else it is. The result is kept, and told
        at once as long as the library has the same videos, unless it is to be found `again`.

        `verify` compares the pictures of each pair, where the files are at hand; without it the stored vectors decide,
        and neither is anything kept nor do searches change.

        Raises:
            NotIndexed: there is no library yet, or it is empty.
            QueryError: the library has no copy role.
        """
        from footage.copies import kept
        from footage.copies.groups import groups
        from footage.copies.within import Within

        store, roles = self._reads(), self._roles()
        videos = store.videos()
        of, file = kept.key(videos, roles), self.path / "copies.json"
        known = kept.read(file, of, {v.id: v for v in videos}) if verify and not again else None
        if known is not None:
            return known.inside, groups(known.inside, videos, self._heard_of)
        inside = Within(store, roles, self.frames, verify, on_progress, self._fingerprint).find()
        if verify:  # what is in doubt must not hide moments of ordinary searches
            shared = [[(s.video.id, s.start, s.end) for s in stretches] for stretches in inside.shared]
            replace_json(self._repeats_file, Repeats.of(inside.matches, shared).as_dict())
            replace_json(file, kept.as_dict(kept.Kept(inside, time.time()), of))
        return inside, groups(inside, videos, self._heard_of)

    def copy_finder(
        self, settings: CopySettings | None = None, *, on_progress: Callable[[float], None] = lambda _: None
    ) -> Copies:
        """What finds copies of many clips one after the other: it keeps what it decoded of the library.

        Raises:
            NotIndexed: there is no library yet.
        """
        from footage.copies.search import Copies, CopySettings
        from footage.copies.sound import Ears

        encoder = Together.of(self.encoder)
        reads = self._reads()
        ears = Ears(self._sounds(reads.videos()), self._fingerprint)
        settings = settings or CopySettings()
        return Copies(
            reads,
            encoder,
            self._roles(),
            self.frames,
            settings,
            on_progress=on_progress,
            ears=ears,
            stages=self.copy_stages,
        )

    def alignment(self, path: str | Place, match: Match) -> Alignment:
        """How alike the moments around a match are, clip and video: for a picture of it.

        Raises:
            QueryError: a range is empty, too long, or outside.
            MediaError: the clip cannot be read.
            NotIndexed: neither the video's file nor its key frames are there.
        """
        from footage.alignment import alignment

        return alignment(path, match, self.frames)

    def _sounds(self, videos: Sequence[Video], *, keep: bool = False) -> SoundIndex:
        return SoundIndex(self.path).open([v.id for v in videos if v.has_audio], self._fingerprint, keep=keep)

    def _fingerprint(self, video_id: str) -> Landmarks | None:
        data = self.frames.attached(video_id, ENTRY)
        return unpacked(data) if data is not None else None

    def _heard_of(self, video: Video) -> int:
        """0: it has no sound; 1: it has a track of it, in which nothing is heard; 2: it can be heard."""
        try:
            found = self._fingerprint(video.id) if video.has_audio else None
        except (NotIndexed, ValueError):
            found = None
        return int(video.has_audio) * (1 if found is not None and not len(found) else 2)

    def search_many(self, questions: Sequence[Question]) -> list[list[Moment] | FootageError]:
        """Answer questions of several people in one go; in place of an answer stands what `search` would raise.

        Raises:
            NotIndexed: there is no library yet.
            EncoderUnavailable: a question wants to be verified, and OpenCV is not installed.
        """
        verifying = self._verifying() if any(question.settings.verify for question in questions) else None
        return searching.search_many(
            [self._aligned(question) for question in questions],
            store=self._reads(),
            encoder=self.encoder,
            roles=self._roles(),
            verifying=verifying,
            repeats=self._known_repeats(),
            stages=self.stages,
        )

    def _aligned(self, question: Question) -> Question:
        """With what copy search finds of its clip; what keeps it from searching is no error here."""
        clip = question.clip
        if clip is None:
            return question
        with self.stages("align"):
            try:
                found = self.copies(clip.value, where=question.settings.where, on_progress=question.on_progress)
            except FootageError:  # a model without pictures, filters that none passes; what is worse, search tells
                return question
        return replace(question, matches=[replace(match, query=clip.label) for match in found])

    @property
    def _repeats_file(self) -> Path:
        return self.path / "repeats.json"

    def _known_repeats(self) -> Repeats:
        """What the last comparison of the library with itself found, in this process or another."""
        try:
            mark = self._repeats_file.stat().st_mtime_ns
        except OSError:
            mark = 0
        if mark != self._repeats[0]:
            self._repeats = mark, read_repeats(self._repeats_file) if mark else Repeats()
        return self._repeats[1]

    def _verifying(self) -> Verifying:
        from footage.encoders.opencv.keypoints import Keypoints

        return Verifying(Keypoints(), lambda video_id, at: decode_jpeg(self.frames.read(video_id, at)))

    def curve(self, parts: Sequence[Part], name: str) -> Strip:
        """How strongly each sample of one video, named as for `get`, answers a query: for a strip along its time.

        Raises:
            QueryError: an empty query, or one that this library cannot answer.
            MediaError: a query picture or clip cannot be read.
            NotIndexed: there is no such video.
        """
        from footage.search.along import along

        video = self.get(name)
        return along(parts, video, store=self._reads(), encoder=self.encoder, roles=self._roles())

    def videos(self, where: Where | None = None) -> list[Video]:
        """All videos, or those that pass the filters, in the order of their paths.

        Raises:
            NotIndexed: there is no library yet.
        """
        return searching.select(self._reads().videos(), where or Where())

    def get(self, name: str) -> Video:
        """One video, by its id, an unambiguous beginning of it (4 characters or more), or its path.

        Raises:
            NotIndexed: there is none, or more than one.
        """
        known = self._opened().get(name)
        if known is not None:
            return known
        videos = self.videos()
        path = as_text(name)
        found = [v for v in videos if v.id == name or path in {f.path for f in v.files}]
        if not found and len(name) >= 4:
            found = [v for v in videos if v.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotIndexed(f"more than one video begins with {name}", hint="give more of the id")
        raise NotIndexed(f"no such video in the library: {name}", hint="footage ls lists them")

    def remove(self, *names: str) -> list[Video]:
        """Forget videos, named as for `get`; the files themselves are not touched.

        Raises:
            NotIndexed: one of them is not there; then nothing is removed.
        """
        videos = [self.get(name) for name in names]
        with self._home.locked():
            self._opened().delete([v.id for v in videos])
            self.frames.delete([v.id for v in videos])
            self._home.removed()
        return videos

    def put_texts(self, name: str, texts: Sequence[TimedText], *, kinds: str | Iterable[str] = ()) -> None:
        """Keep what is said or written in a video, named as for `get`, in place of what there is of the same kinds.

        `kinds` names further ones that it has nothing of now.

        Raises:
            NotIndexed: no such video.
            QueryError: a text of another video, or with a kind, language, range or length out of bounds.
            ConfigError: the library is on a Milvus server that cannot search texts.
            StoreUnavailable: another process is writing to this library.
        """
        video = self.get(name)
        strange = {text.video_id for text in texts} - {video.id}
        if strange:
            raise QueryError(f"a text of video {min(strange)} was given for {video.id}", hint="one video at a time")
        with self._home.locked():
            self._opened().put_texts(texts, of=[(video.id, kind) for kind in _each(kinds)])

    def texts(self, name: str) -> list[TimedText]:
        """What is said or written in a video, named as for `get`, by time.

        Raises:
            NotIndexed: no such video.
        """
        return self._opened().texts(self.get(name).id)

    def search_texts(
        self,
        query: str,
        k: int = 10,
        *,
        videos: str | Iterable[str] | None = None,
        kinds: str | Iterable[str] | None = None,
    ) -> list[TextHit]:
        """Find the texts that answer words best; `videos`, named as for `get`, and `kinds` say which may.

        One of the words is enough, the rarer it is the better (BM25). Of English the plural does not matter; Chinese
        needs no spaces.

        Raises:
            QueryError: no words, or k below 1.
            NotIndexed: there is no library yet, or no such video.
            ConfigError: the library is on a Milvus server that cannot search texts.
        """
        ids = None if videos is None else {self.get(name).id for name in _each(videos)}
        return self._opened().search_texts(query, k, videos=ids, kinds=None if kinds is None else set(_each(kinds)))

    def thumbnail(self, video_id: str, at: float) -> bytes:
        """The key frame that stands at this time, as JPEG, at most 320 pixels long.

        Raises:
            NotIndexed: no such video, or its key frames are lost.
        """
        return self.frames.read(video_id, at)

    def frame_times(self, video_id: str) -> list[float]:
        """The times of the key frames of a video, ascending.

        Raises:
            NotIndexed: no such video, or its key frames are lost.
        """
        return self.frames.times(video_id)

    def picture(self, name: str, at: float) -> UInt8:
        """The very frame of a video at this time, decoded from its file: RGB uint8 (h, w, 3), in full size.

        Raises:
            NotIndexed: no such video.
            MediaNotFound: its file is not there now.
            MediaChanged: the file is another one now.
            CorruptMedia: it cannot be decoded.
        """
        from footage.media.cut import frame_at
        from footage.playback import path_of

        video = self.get(name)
        # The end of a video is the end of its last frame, at which nothing is shown any more.
        at = max(0.0, min(at, video.duration - 0.002))
        return frame_at(path_of(video), at, duration=video.duration)

    def doctor(self, *, repair: bool = False) -> list[audit.Finding]:
        """Compare disk and store; with `repair`, mend what can be mended without losing anything.

        Raises:
            NotIndexed: there is no library yet.
            StoreUnavailable: another process is indexing, and `repair` was asked for.
        """
        store = self._opened()
        if not repair:
            return audit.examine(store, self.frames, self._stamped())
        with self._home.locked():
            return audit.repair(store, self.frames, self._stamped())

    def migrate(
        self, to: str, *, drop_old: bool = False, on_progress: Callable[[int, int], None] = lambda _done, _of: None
    ) -> moving.Migrated:
        """Move the vectors to another store: see `footage.stores.address`.

        Searches go on in the old store until the new one is complete and compared; then the library names the new one,
        and everybody who has it open moves. Run it again after an interruption, and it goes on. The old store is kept
        unless `drop_old`. `on_progress` is told the videos that are done, and of how many.

        Raises:
            ConfigError: not a store, the one that the library has, or one that holds something else.
            StoreUnavailable: the target cannot be reached, or another process is writing to this library.
            StoreError: the target is full, or the copy differs.
            NotIndexed: there is no library yet.
        """
        self._stamped()
        with self._home.locked():
            stamp = self._stamped()
            source = self._opened()
            place = self._home.target_of(to, stamp)
            with closing(self._home.store_at(place, rows=moving.rows_of(source))) as target, target.writing():
                moving.check_fits(source, target)
                copied = moving.copy(source, target, on_progress)
                samples, texts, compared = moving.verify(source, target)
            self._home.moved(place)
            if drop_old:
                source.erase()
            before, now = (str(parsed(uri)) for uri in (stamp.store, place[0]))
            videos = len(self._opened().videos())
            return moving.Migrated(before, now, videos, samples, copied, texts, compared, drop_old)

    def moment(self, name: str, start: float, end: float, at: float | None = None) -> Moment:
        """A moment that is named and not searched for: seconds [start, end) of a video, named as for `get`.

        Raises:
            NotIndexed: no such video.
            QueryError: the range is empty, or outside of the video.
        """
        return exporting.moment_of(self.get(name), start, end, at)

    def export(
        self, moments: Sequence[Moment], to: str | Path, settings: exporting.ExportSettings | None = None
    ) -> list[exporting.Exported]:
        """Write moments to a file or a folder, as clips, pictures or a list; see `footage.export`.

        A clip or a picture that cannot be made is a row with an error, and does not stop the others.

        Raises:
            ConfigError: format and target do not go together, or the target exists.
            QueryError: no moments.
            MediaError: a list needs a file that is gone or was changed.
        """
        return list(exporting.export(moments, to, settings))

    def use(
        self,
        model: str,
        *,
        beside: float | None = None,
        window: float | None = None,
        stride: float | None = None,
        progress: Progress | None = None,
        on_weights: Callable[[Step], None] = lambda _: None,
        on_decoding: Callable[[str], None] = lambda _: None,
    ) -> Used:
        """Let another model answer: its vectors are made from the key frames, beside those that there are.

        What answers now goes on answering until the new vectors are complete and counted; then the roles switch at
        once. Run it again after an interruption, and it goes on. `beside` is a weight with which the model joins what
        answers now instead of taking its place. Key frames may be too small, and they do not show motion, which models
        of windows look at: then the videos are decoded again, and `on_decoding` is told why. `window` and `stride` are
        the seconds of one window and those to the next, in place of what the settings say.

        Raises:
            ConfigError: a weight, or windows, out of range; windows of a model that looks at single pictures.
            SpaceMismatch: the library has another version of it, or with other windows, which answers.
            StoreError: of some videos neither key frames that will do nor the file are there.
            StoreUnavailable: another process is writing to this library.
            NotIndexed: there is no library yet.
            EncoderUnavailable: its weights are not here, or could not be fetched.
        """
        if beside is not None and not 0 < beside <= 100:
            raise ConfigError(f"the weight is {beside}, but must lie above 0 and not above 100")
        self._stamped()
        with self._home.locked():
            return self._models.use(
                model,
                store=self._opened(),
                frames=self.frames,
                settings=self.settings,
                windows=(window, stride),
                how=self._how,
                progress=progress or Progress(),
                beside=beside,
                on_weights=on_weights,
                on_decoding=on_decoding,
            )

    def drop(self, model: str) -> Dropped:
        """Free the space that the vectors of a model take.

        Of a model that answers motion the role goes too: clips are then found by their pictures alone.

        Raises:
            SpaceMismatch: it answers searches by words or pictures now.
            NotIndexed: the library does not have it.
            StoreUnavailable: another process is writing to this library.
        """
        self._stamped()
        with self._home.locked():
            return self._models.drop(model, self._opened())

    def compare(self, a: str, b: str, queries: Iterable[Part], *, k: int = 10) -> list[Compared]:
        """What two models of the library answer to each query, as if each answered alone, whoever answers now.

        Raises:
            NotIndexed: the library does not have one of them.
            ConfigError: one of them is not complete.
            QueryError: one of them cannot answer a query.
            MediaError: a query picture cannot be read.
        """
        store = self._reads()
        roles = [self._models.alone(name, store.spaces()) for name in (a, b)]
        out: list[Compared] = []
        for part in queries:
            first, second = (
                searching.search(
                    [part], store=store, encoder=self._models.answering(each), roles=each, settings=SearchSettings(k=k)
                )
                for each in roles
            )
            out.append(Compared(part.label, (first, second), overlap(first, second)))
        return out

    def as_if(
        self, weights: Mapping[str, float], parts: Sequence[Part], *, k: int = 10, per_video: int = 3
    ) -> list[Moment]:
        """What models of the library would answer together with these weights, whoever answers now.

        Raises:
            NotIndexed: the library does not have one of them.
            ConfigError: one of them is not complete.
            QueryError: none of them can answer this.
        """
        store = self._reads()
        roles: dict[str, str | dict[str, float]] = {}
        for name, weight in weights.items():
            for role, space in self._models.alone(name, store.spaces()).items():
                for each, share in spaces_of({role: space}, role).items():
                    own = roles.setdefault(role, {})
                    if isinstance(own, dict):
                        own[each] = own.get(each, 0.0) + weight * share
        settings = SearchSettings(k=k, per_video=per_video)
        return searching.search(
            parts, store=store, encoder=self._models.answering(roles), roles=roles, settings=settings
        )

    def judge(self, query: str | tuple[str, float], video: str, start: float, end: float, *, good: bool) -> Judgement:
        """Note that an answer was right or wrong: seconds [start, end) of a video, named as for `get`.

        `query` is the words, or (video, time) of the frame that was looked for. `footage eval mine` learns from it.

        Raises:
            NotIndexed: no such video.
            QueryError: an empty query, or no range.
            StoreError: it cannot be written.
        """
        kind, words, at = "text", query, 0.0
        if isinstance(query, tuple):
            kind, words, at = "image", self.get(query[0]).id, round(query[1], 3)
        given = Judgement(kind, str(words).strip(), at, self.get(video).id, round(start, 3), round(end, 3), good)
        made = judging.checked(given)
        judging.add(self.path, made)
        return made

    def judgements(self) -> list[Judgement]:
        """What was said of answers, the oldest first; the last word on each.

        Raises:
            StoreError: it cannot be read.
        """
        return judging.read(self.path)

    def failures(self) -> list[dict[str, str]]:
        """The files that failed when they were last looked at: path, error, hint."""
        try:
            return list(json.loads((self.path / "failures.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return []

    # ------------------------------------------------------------------------------------------------ what it has

    def exists(self) -> bool:
        """Tell whether there is a library yet; another process may have created it meanwhile."""
        try:
            self._stamped()
        except NotIndexed:
            return False
        return True

    @property
    def stamp(self) -> Stamp | None:
        """What the library was made with, as it is on disk now; None: there is none yet."""
        return self._models.stamp

    @property
    def encoder(self) -> Encoder:
        """The encoders that answer searches, as one; loaded on first use.

        Raises:
            NotIndexed: there is no library yet.
            SpaceMismatch: this version's encoder gives other vectors than those in the library.
        """
        return self._models.answering(self._roles())

    @property
    def _how(self) -> IngestSettings:
        s = self.settings
        return IngestSettings(workers=s.workers, batch=s.batch, stall=s.stall, spool_bytes=round(s.spool * 1e9))

    def _roles(self) -> Roles:
        return self._models.roles(self._reads().spaces() if self.settings.fuse else ())

    def _stamped(self) -> Stamp:
        return self._models.stamped()

    def _opened(self) -> Store:
        return self._home.opened()

    def _reads(self) -> Store:
        return self._home.reads()

    def _note_failures(self, results: list[Indexed], given: list[str | Place]) -> None:
        """Remember failures, and forget those of files that were looked at again with success."""
        seen = {r.path for r in results}
        kept = [f for f in self.failures() if f["path"] not in seen and not is_gone(f["path"])]
        new = [
            {"path": r.path, "error": str(r.error), "hint": r.error.hint}
            for r in results
            if r.error is not None and not is_gone(r.path)
        ]
        if kept or new or self.failures():
            replace_json(self.path / "failures.json", [*kept, *new])


def _each(names: str | Iterable[str]) -> list[str]:
    """One name is a list of one."""
    return [names] if isinstance(names, str) else list(names)
