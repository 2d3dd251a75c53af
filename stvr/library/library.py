"""A library of videos: opened once, asked often, added to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stvr.library.building import Built, build_index, remove_videos
from stvr.library.feedback import BEST, finds_back, middle_of
from stvr.library.filters import Filters, some_names
from stvr.library.hits import Hit, as_lines
from stvr.library.index import Index, IndexedVideo
from stvr.library.search import SearchReport, check_rate, chosen_stretches, localise, score_rows
from stvr.session import Example, Session
from stvr.session.examples import Box, Track
from stvr.session.session import KEPT_BYTES
from stvr.structures import Features, Query, Span

TOP, WINDOWS = 20, 32


@dataclass(frozen=True, slots=True, eq=False)
class LibraryQuery(Query):
    """A query of a head of its own, with the vectors (examples, D) that the index is asked with."""

    vectors: Tensor | None = None


class Library:
    """An index of videos and a session that looks at them. Get one by `open`; several threads may ask it.

    Nothing is computed twice: the videos' features are in the index's store, and the latest looks at them are kept, so
    that a further question begins at matching.
    """

    def __init__(self, index: Index, session: Session, describing: Session) -> None:
        self.index, self.session, self.describing = index, session, describing

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        head: Path | str | None = None,
        weights: Path | str | None = None,
        device: str = "auto",
        kept_bytes: int = KEPT_BYTES,
    ) -> Library:
        """Opens an index of `stvr index`. head: a checkpoint that localises; None: `nearest`, which needs no training.

        weights: those of the backbone, for queries of files that are not in the library, where they have not been
        fetched by name. device, kept_bytes: as in `Session.open`.
        FileNotFoundError where there is no index; ValueError for a head that reads other features.
        """
        index = Index.open(folder)
        describing = Session.open(index.head_file, weights=weights, store=str(index.store), device=device,
                                  kept_bytes=kept_bytes)  # fmt: skip
        if head is None:
            return cls(index, describing, describing)
        session = Session.open(head, weights=weights, store=str(index.store), device=device, kept_bytes=kept_bytes)
        index.check(session.spec)
        return cls(index, session, describing)

    def __repr__(self) -> str:
        return f"Library({self.index}, {self.session})"

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def videos(self) -> tuple[IndexedVideo, ...]:
        """In the order of their names."""
        return self.index.videos

    def add(self, *videos: Path | str, weights: Path | str | None = None, report: Any = None) -> Built:
        """Extracts and describes video files (folders, lists, buckets), and may then be asked of them.

        report: as for `build_index`. What became of each is told in what comes back.
        """
        built = build_index(videos, self.index.folder, weights=weights or self.session.weights,
                            device=self.session.device, report=report)  # fmt: skip
        self.index = Index.open(self.index.folder)
        return built

    def remove(self, *names: str) -> None:
        """Takes videos out of the index. LookupError for one that is not in it."""
        remove_videos(self.index.folder, names)
        self.index = Index.open(self.index.folder)

    def query(
        self, video: Path | str, box: Box | Track, at: float, span: tuple[float, float] | None = None
    ) -> Query:
        """One example: a video of the library by its name, or any file. As `Session.query`.

        LookupError for what is neither.
        """
        store = self.session.store
        if not Path(video).exists() and (store is None or str(video) not in store):
            raise LookupError(f"{video} is neither a file nor in the index. Its names are {some_names(self.videos)}.")
        return self.pooled(video, box, at, span)

    def pooled(self, video: Path | str, box: Box | Track, at: float, span: tuple[float, float] | None) -> Query:
        """The same of what is known to be there: for the head, and for the index."""
        query = self.session.query(video, box, at, span)
        if self.describing is self.session:
            return query
        vectors = self.index.describe_each(self.describing.query(video, box, at, span))
        return LibraryQuery(query.tubelets, query.regions, vectors=vectors)

    def query_of(self, examples: Sequence[Example], negatives: Sequence[Example] = ()) -> Query:
        """One query of all examples of what is meant and of what is not."""
        meant, others = ([self.query(*each) for each in some] for some in (examples, negatives))
        return self.together(*meant).minus(*others)

    def together(self, *queries: Query) -> Query:
        """Several examples of one action as one query."""
        joined = self.session.together(*queries)
        if len(queries) == 1 or self.describing is self.session:
            return joined
        vectors = torch.cat([self.vectors(each) for each in queries])
        return LibraryQuery(joined.tubelets, joined.regions, joined.negatives, vectors)

    def vectors(self, query: Query) -> Tensor:
        """Of the examples of what is meant, in the index's space, (examples, D)."""
        if isinstance(query, LibraryQuery) and query.vectors is not None:
            return query.vectors
        return self.index.describe_each(query)

    def search(
        self,
        query: Query | Sequence[Query],
        negatives: Sequence[Query] = (),
        *,
        top: int | None = TOP,
        windows: int | None = WINDOWS,
        folder: str | None = None,
        between: tuple[float, float] | None = None,
        region: tuple[float, float, float, float] | None = None,
        report: SearchReport | None = None,
        cancelled: Callable[[], bool] | None = None,
        on_failure: Callable[[str, Exception], None] | None = None,
        without: Sequence[str] = (),
        false_alarms: float | None = None,
        again: bool = False,
    ) -> list[Hit]:
        """The tubelets of the library that do what the query shows, best first, at most `top` (None: all).

        query: one, or several examples of one action. negatives: examples of what is not meant. windows: how many
        windows of the videos (a window is a video of up to 21 seconds, or about 11 seconds of a longer one) are looked
        at, those that the index finds most alike; None looks at everything, which answers as `stvr locate` does over
        all videos. folder, between, region: see Filters. report(done, there are, best hits so far) is told after every
        stretch of windows; cancelled() is asked before each, and ends the search with what it has.
        on_failure(name, error) is told of a video that cannot be read; without it the error is raised. without: names
        of videos that are not asked, such as the query's own.
        false_alarms: answers nothing that would be found this often, in [0, 1], did the library not hold it: each hit
        says its own rate, known where the index has at least 20 videos. again: the best answers that find the query
        when they are asked back become examples, and the library is searched once more with them.
        """
        asked = self.together(*([query] if isinstance(query, Query) else query)).minus(*negatives)
        filters = Filters(folder, between, region, tuple(without))

        def once(query: Query) -> list[Hit]:
            others = [self.vectors(each) for each in query.negatives]
            scored = score_rows(self.index, self.vectors(query).mean(0), torch.cat(others) if others else None, windows,
                                filters)  # fmt: skip
            if false_alarms is not None:
                check_rate(scored, false_alarms)
            chosen = chosen_stretches(scored, windows, filters)
            return localise(scored, self.session, query, chosen, filters, top=top,
                            most_false_alarms=1.0 if false_alarms is None else false_alarms, report=report,
                            cancelled=cancelled, on_failure=on_failure)  # fmt: skip

        hits = once(asked)
        found = self.confirmed(asked, hits) if again and not (cancelled and cancelled()) else []
        return once(self.refined(asked, found)) if found else hits

    def example(self, hit: Hit) -> Query:
        """An answer as an example of its own: what is in the middle of its tubelet."""
        tubelet = middle_of(hit.tubelet)
        query = self.session.pooled(tubelet, self.features(self.session, tubelet.span))
        if self.describing is self.session:
            return query
        vectors = self.index.describe_each(
            self.describing.pooled(tubelet, self.features(self.describing, tubelet.span)))  # fmt: skip
        return LibraryQuery(query.tubelets, query.regions, vectors=vectors)

    def features(self, session: Session, span: Span) -> Features:
        (features,) = session.stored(span).features(len(span))
        return features

    def refined(self, query: Query, right: Sequence[Hit] = (), wrong: Sequence[Hit] = ()) -> Query:
        """The query with answers that a user calls right as further examples, and wrong ones as what is not meant."""
        better = self.together(query, *map(self.example, right))
        return better.minus(*map(self.example, wrong))

    def confirmed(self, query: Query, hits: Sequence[Hit], best: int = BEST) -> list[Hit]:
        """Of the first `best` answers those that, asked back, find the query before any other video of the library."""
        own, asked = [tubelet.span.video for tubelet in query.tubelets], self.vectors(query)
        return [hit for hit in hits[:best] if hit.video not in own
                and finds_back(self.index, self.vectors(self.example(hit))[0], asked, [hit.video, *own])]

    def lines(self, hits: Sequence[Hit]) -> list[dict[str, Any]]:
        """Hits as JSON objects: seconds, boxes in pixels, a score in [0, 1], as `stvr locate` writes them."""
        return list(as_lines(hits, {video.name: video for video in self.videos}, self.index.spec.clip))
