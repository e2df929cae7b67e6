"""Where a file is: a path on disk, or a URL that fsspec reads. The only door to fsspec.

    place("s3://bucket/a.mp4")  -> Remote                  a path gives a Path; both open, and both have a name
    look(place)                 -> MediaFile               size and mark as they are now
    folder(url)                 -> MediaFile per object    a listing, page by page
    Spool()                     bounded scratch on disk, so that a file that is read three times is fetched once

A `Remote` is read by ranges through `Blocks`, which keep a little of it and read ahead where it is read in order. No
credential is ever taken from a URL, kept, or told: they come by the usual chain of each service (environment, profile,
role, `.netrc`). Errors of the services become `MediaNotFound` (there is no such object, or it may not be read) and
`MediaUnreachable` (nobody can tell now).
"""

from footage.places.address import SCHEMES, climbs, inside, is_url, normal
from footage.places.blocks import Spool
from footage.places.remote import (
    Place,
    Remote,
    absolute,
    as_text,
    folder,
    is_as_it_was,
    is_folder,
    is_gone,
    look,
    place,
    subfolders,
)
from footage.places.system import TRAFFIC, Traffic

__all__ = [
    "SCHEMES",
    "TRAFFIC",
    "Place",
    "Remote",
    "Spool",
    "Traffic",
    "absolute",
    "as_text",
    "climbs",
    "folder",
    "inside",
    "is_as_it_was",
    "is_folder",
    "is_gone",
    "is_url",
    "look",
    "normal",
    "place",
    "subfolders",
]
