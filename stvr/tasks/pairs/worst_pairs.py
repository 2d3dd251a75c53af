"""The pairs that were answered worst, and which moments of them to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from stvr.metrics import frame_map
from stvr.metrics.as_json import finite
from stvr.metrics.mistakes import largest_mistake
from stvr.structures import ClipSpec, Pair, Span, Tubelet
from stvr.tasks.pairs.answers import Known, PairAnswers

AT = 0.5  # the IoU by which pairs are ranked
NUM_WORST = 6


def worst_pairs(known: Known, clip: ClipSpec) -> list[dict[str, Any]]:
    """Of the pairs with a target those with the lowest average precision at IoU 0.5, and what to show of each.

    query, mistake, target: a moment each, in seconds after the first picture, and the boxes there. mistake: see
    `largest_mistake`; None where nothing is wrong. target: the middle of the first one.
    """
    own = [(frame_map([answer.own], [AT]).mean[AT], answer, pair) for answer, pair in known if pair.targets]
    return [
        {
            "average_precision": finite(value), "label": pair.label,
            "query": {**place(pair.query.span), **middle(pair.query, clip)},
            "reference": place(pair.reference),
            "mistake": mistake(answer, pair, clip),
            "target": middle(pair.targets[0], clip),
        }
        for value, answer, pair in sorted(own, key=lambda each: each[0])[:NUM_WORST]
    ]  # fmt: skip


def on_the_clock(worst: Sequence[dict[str, Any]], offset: Callable[[str], float]) -> list[dict[str, Any]]:
    """The same with every moment in seconds of its video's clock; offset(video): of its first picture."""

    def moved(moment: dict[str, Any] | None, video: str) -> dict[str, Any] | None:
        return moment and {**moment, "seconds": moment["seconds"] + offset(video)}

    return [{name: moved(value, each["query" if name == "query" else "reference"]["video"])
             if name in ("query", "mistake", "target") else value for name, value in each.items()} for each in worst]


def place(span: Span) -> dict[str, Any]:
    return {"video": span.video, "start": span.start, "stop": span.stop}


def middle(tubelet: Tubelet, clip: ClipSpec) -> dict[str, Any]:
    """The clip in the middle of a tubelet."""
    offset = len(tubelet.span) // 2
    return {"seconds": clip.middle_of(tubelet.span.start + offset), "box": edges(tubelet.boxes[offset])}


def mistake(answer: PairAnswers, pair: Pair, clip: ClipSpec) -> dict[str, Any] | None:
    found = largest_mistake(answer.own.clips)
    if found is None:
        return None
    return {
        "seconds": clip.middle_of(pair.reference.start + found.clip),
        "box": None if found.box is None else edges(found.box), "score": found.score,
        "truth": [edges(box) for box in answer.own.clips[found.clip].truth],
    }  # fmt: skip


def edges(box: Tensor) -> list[float]:
    return [round(float(edge), 4) for edge in box]
