"""Copies: which seconds of a clip are which seconds of the library's videos, whatever was done to the picture.

    queries.py      the clip, decoded once in chunks of bounded size
    boxes.py        black bars, borders, the window of a picture in picture
    candidates.py   vectors -> the likeliest videos, on the scale of each vector's own background
    register.py     where a video's picture lies in the query's: views, keypoints
    geometry.py     affine maps between two pictures, and comparing through them
    dense.py        pictures of the candidates at ten a second
    align.py        temporal alignment: lines in the similarity matrix
    verify.py       segments through each placement; facts.py: what is measured on them
    search.py       all of it for one clip; probability.py, shared.py: what is believed in the end
    recurring.py    where a video shows the same seconds again
    within.py       the library against itself; join.py: candidates; trimmed.py: samples without
                    their bars; laid.py: alignment by vectors; pieces.py, groups.py: shared
                    material, advice

`docs/copies.md` has the method, its sources and what was measured.
"""

from footage.copies.search import CopySettings, copies

__all__ = ["CopySettings", "copies"]
