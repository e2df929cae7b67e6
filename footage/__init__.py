"""Footage finds any moment in your video: index a folder once, then search it by words, a picture or a clip."""

__version__ = "0.1.0"
