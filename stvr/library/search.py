"""Ask a library: the index says which stretches of its videos are worth a look, the head what is in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stvr.library.calibration import LEAST_VIDEOS, Background, best_by_video
from stvr.library.filters import Filters
from stvr.library.hits import Hit, best_of_all, hit_of
from stvr.library.index import Index
from stvr.library.stretches import Stretch, everything, stretches
from stvr.session import Session
from stvr.structures import Query, Span

ROWS_OF_A_WINDOW = 64  # so many rows for each window are asked of an index that does not score every row

SearchReport = Callable[[int, int, Sequence[Hit]], None]  # stretches done, stretches there are, the best hits so far


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """An index asked with a query: the scores (N,) of its rows, -inf where a filter or the index left one out.

    background: None where it is not known.
    """

    index: Index
    scores: NDArray[np.float32]
    background: Background | None

    def false_alarm(self, number: int, span: Span) -> float | None:
        """Of clips of a video, by its number, judged by the best row that shares some of them."""
        if self.background is None:
            return None
        rows = self.index.rows
        first, last = np.searchsorted(rows.video, [number, number + 1])
        part = slice(int(first), int(last))
        scores = self.scores[part][(rows.start[part] < span.stop) & (rows.stop[part] > span.start)]
        return self.background.false_alarm(float(scores.max())) if len(scores) else 1.0


def score_rows(index: Index, meant: Tensor, others: Tensor | None, windows: int | None, filters: Filters) -> Scored:
    """Asks the index with what is meant, a vector (D,), and what is not, (E, D).

    A row that is more like one of the others than like what is meant falls by as much again.
    """
    kept = filters.rows(index.rows, index.videos, index.spec.clip)
    scores = np.full(len(index), -np.inf, np.float32)
    if index.by_faiss is not None and windows is not None and others is None:
        places, found = index.best(meant, windows * ROWS_OF_A_WINDOW, kept)
        scores[places] = found
        return Scored(index, scores, None)
    every = index.scores(meant)
    if others is not None:
        every = np.minimum(every, 2 * every - index.scores(others).max(0))
    scores[kept] = every[kept]
    return Scored(index, scores, Background.of(best_by_video(index.rows, scores, len(index.videos))))


def check_rate(scored: Scored, rate: float) -> None:
    """ValueError for a rate of false alarms that is none, or where it is not known how often there are any."""
    if not 0 < rate <= 1:
        raise ValueError(f"a rate of false alarms is above 0 and at most 1, not {rate:g}. Give .05, say.")
    if scored.background is None:
        raise ValueError(f"to know how often there are false alarms takes at least {LEAST_VIDEOS} videos to compare "
                         f"with, all of them scored, and {scored.index.folder} with these filters has fewer. Leave the "
                         "rate of false alarms out.")


def chosen_stretches(scored: Scored, windows: int | None, filters: Filters) -> list[list[Stretch]]:
    """What is looked at, a list for each video: the windows most alike; all of every video for None."""
    videos = scored.index.videos
    if windows is None:
        kept = filters.videos(videos)
        return everything([video for video, inside in zip(videos, kept, strict=True) if inside])
    if windows < 1:
        raise ValueError(f"wanted at least one window to look at, got {windows}.")
    return stretches(videos, scored.index.rows, scored.scores, windows)


def localise(
    scored: Scored, session: Session, query: Query, chosen: Sequence[Sequence[Stretch]], filters: Filters, *,
    top: int | None, most_false_alarms: float = 1.0, report: SearchReport | None = None,
    cancelled: Callable[[], bool] | None = None, on_failure: Callable[[str, Exception], None] | None = None,
) -> list[Hit]:  # fmt: skip
    """The best tubelets of the stretches. on_failure is told of a video that cannot be read; else the error is raised.

    cancelled is asked before every stretch; what was found until then is the answer.
    """
    videos, clip = scored.index.videos, scored.index.spec.clip
    numbers = {video.name: number for number, video in enumerate(videos)}
    every, found = [stretch for video in chosen for stretch in video], dict[int, list[Hit]]()
    for done, stretch in enumerate(every, 1):
        if cancelled is not None and cancelled():
            break
        number = numbers[stretch.span.video]
        try:
            tubelets = session.tubelets(query, session.stored(stretch.span))
        except (LookupError, ValueError, OSError) as error:
            if on_failure is None:
                raise
            on_failure(videos[number].name, error)
            continue
        for tubelet in tubelets:
            rate = scored.false_alarm(number, tubelet.span)
            if filters.keeps(tubelet, videos[number], clip) and (rate is None or rate <= most_false_alarms):
                hit = replace(hit_of(tubelet, videos[number], clip), false_alarm=rate)
                found.setdefault(number, []).append(hit)
        if report is not None:
            report(done, len(every), best_of_all(found, top))
    return best_of_all(found, top)
