"""Many videos that are asked at once: what each holds is described once, and kept in an index."""

from stvr.library.building import Built, build_index, remove_videos
from stvr.library.contents import describe_index
from stvr.library.index import Index, IndexedVideo, Rows, is_index

__all__ = ["Built", "Index", "IndexedVideo", "Rows", "build_index", "describe_index", "is_index", "remove_videos"]
