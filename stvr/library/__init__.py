"""Many videos that are asked at once: what each holds is described once, and kept in an index."""

from stvr.library.building import Built, build_index, remove_videos
from stvr.library.contents import describe_index
from stvr.library.hits import Hit
from stvr.library.index import Index, IndexedVideo, Rows, is_index
from stvr.library.library import Library

__all__ = [
    "Built", "Hit", "Index", "IndexedVideo", "Library", "Rows", "build_index", "describe_index", "is_index",
    "remove_videos",
]  # fmt: skip
