"""Video and pictures from disk: the only door to PyAV (libav) and to Pillow's decoders.

    probe(path)          -> MediaInfo             what the container says, nothing kept open
    open_video(path)     -> VideoReader           frames with exact times, converted only when asked for
    read_picture(source) -> uint8 (h, w, 3) RGB   a still, upright, over black
    listen(path)         -> float32 (n,) blocks   the sound, mono, on the clock of the pictures
    resize(picture, w, h) -> uint8 (h, w, 3)      area-averaged
    key_times(path)      -> list[float]           where it can be entered

What a file is, is told by its content and never by its suffix. Every foreign error becomes one of ours here:
`MediaNotFound`, `UnsupportedMedia` or `CorruptMedia`. Time 0 is the zero of a player: the earliest start of the
container's streams (`clock.py` says why, and how a broken clock is mended). A file whose only content is one picture,
an unanimated GIF, WebP or PNG too, is a still picture and no video.
"""

from footage.media.keys import key_times
from footage.media.listening import listen
from footage.media.pictures import read_picture, resize
from footage.media.reader import VideoReader, open_video, probe

__all__ = ["VideoReader", "key_times", "listen", "open_video", "probe", "read_picture", "resize"]
