"""A library that was indexed: the index says which windows are looked at, so that a search of many videos is quick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from stvr.library import Hit, Library
from stvr.structures import ClipSpec
from stvr.studio.shelf import Cancelled, PooledOnce, Report, ShelfVideo, TrackedExample


class IndexedShelf:
    """As `Shelf` says, of a `Library`."""

    def __init__(self, title: str, library: Library) -> None:
        self.title, self.library = title, library
        self.query = PooledOnce(lambda example: library.pooled(*example.asked))
        self.videos = tuple(ShelfVideo(each.name, Path(each.path), each.seconds, each.doubt) for each in library.videos)

    @property
    def clip(self) -> ClipSpec:
        return self.library.session.spec.clip

    def search(
        self, like: Sequence[TrackedExample], unlike: Sequence[TrackedExample], top: int, report: Report,
        cancelled: Callable[[], bool],
    ) -> tuple[list[Hit], dict[str, str]]:
        """As `Shelf.search` says."""
        failed = dict[str, str]()

        def tell(done: int, total: int, hits: Sequence[Hit]) -> None:
            report(done, total, hits)
            if cancelled():
                raise Cancelled

        hits = self.library.search(
            [self.query(each) for each in like], [self.query(each) for each in unlike], top=top, report=tell,
            cancelled=cancelled, on_failure=lambda name, error: failed.__setitem__(name, str(error)),
        )  # fmt: skip
        if cancelled():
            raise Cancelled
        return hits, failed
