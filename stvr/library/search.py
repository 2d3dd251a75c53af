"""Ask a library: the index says which stretches of its videos are worth a look, the head what is in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stvr.library.filters import Filters
from stvr.library.hits import Hit, best_of_all, hit_of
from stvr.library.index import Index
from stvr.library.stretches import Stretch, everything, stretches
from stvr.session import Session
from stvr.structures import Query

SearchReport = Callable[[int, int, Sequence[Hit]], None]  # stretches done, stretches there are, the best hits so far


def likeness(index: Index, meant: Tensor, others: Tensor | None = None) -> NDArray[np.float32]:
    """How alike each row is to what is meant, a vector (D,), (N,).

    others (E, D): what is not meant; a row that is more like one of them falls by as much.
    """
    scores = index.scores(meant)
    if others is None or not len(others):
        return scores
    return np.minimum(scores, 2 * scores - index.scores(others).max(0))


def chosen_stretches(
    index: Index, meant: Tensor, others: Tensor | None, windows: int | None, filters: Filters
) -> list[list[Stretch]]:
    """What is looked at, a list for each video: the windows most alike; all of every video for None."""
    if windows is None:
        kept = filters.videos(index.videos)
        return everything([video for video, inside in zip(index.videos, kept, strict=True) if inside])
    if windows < 1:
        raise ValueError(f"wanted at least one window to look at, got {windows}.")
    scores = likeness(index, meant, others)
    scores = np.where(filters.rows(index.rows, index.videos, index.spec.clip), scores, np.float32(-np.inf))
    return stretches(index.videos, index.rows, scores, windows)


def localise(
    index: Index, session: Session, query: Query, chosen: Sequence[Sequence[Stretch]], filters: Filters, *,
    top: int | None, report: SearchReport | None = None, cancelled: Callable[[], bool] | None = None,
    on_failure: Callable[[str, Exception], None] | None = None,
) -> list[Hit]:  # fmt: skip
    """The best tubelets of the stretches. on_failure is told of a video that cannot be read; else the error is raised.

    cancelled is asked before every stretch; what was found until then is the answer.
    """
    numbers = {video.name: number for number, video in enumerate(index.videos)}
    every, found = [stretch for video in chosen for stretch in video], dict[int, list[Hit]]()
    for done, stretch in enumerate(every, 1):
        if cancelled is not None and cancelled():
            break
        number = numbers[stretch.span.video]
        video = index.videos[number]
        try:
            tubelets = session.tubelets(query, session.stored(stretch.span))
        except (LookupError, ValueError, OSError) as error:
            if on_failure is None:
                raise
            on_failure(video.name, error)
            continue
        found.setdefault(number, []).extend(hit_of(each, video, index.spec.clip) for each in tubelets
                                            if filters.keeps(each, video, index.spec.clip))
        if report is not None:
            report(done, len(every), best_of_all(found, top))
    return best_of_all(found, top)
