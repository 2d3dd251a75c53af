"""The pairs answered worst are drawn from the files, at the time and place of the mistake; what cannot be is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stvr.metrics import ClipRecord, PairRecord
from stvr.render import evaluation_report, worst_answers, write_report
from stvr.render.draw import TRUTH
from stvr.render.worst import QUERY, WRONG
from stvr.structures import ClipSpec, Detections, Pair, Span, Tubelet
from stvr.tasks.pairs.figures import PairAnswers, score
from stvr.world.synthetic import write_video

SIDE = 64
BOX, FAR = [0.25, 0.25, 0.5, 0.75], [0.625, 0.25, 0.875, 0.75]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> dict[str, Path]:
    """Films of three seconds, the first red, the second green, the third blue."""
    folder = tmp_path_factory.mktemp("films")
    pictures = np.zeros((72, SIDE, SIDE, 3), np.uint8)
    for second in range(3):
        pictures[24 * second : 24 * second + 24, ..., second] = 160
    for name in ("query", "film", "other"):
        write_video(folder / f"{name}.mp4", [pictures], 24, SIDE)
    (folder / "broken.mp4").write_bytes(b"no film")
    return {path.stem: path for path in folder.iterdir()}


def asked(label: str, reference: str, wrong_at: int, value: float) -> PairAnswers:
    """The query in the first second, the target in the second one (clips 3 to 6), found wrongly in one clip."""
    query = Tubelet(Span("query", 0, 3), torch.tensor([BOX] * 3))
    target = Tubelet(Span(reference, 3, 6), torch.tensor([BOX] * 3))
    pair = Pair(query, Span(reference, 0, 9), (target,), label, (), "test")
    clips, seen = [], []
    for clip in range(9):
        boxes = torch.tensor([FAR] * (clip == wrong_at)).reshape(-1, 4)
        scores, truth = torch.full((len(boxes),), value), torch.tensor([BOX] * (clip in (3, 4, 5))).reshape(-1, 4)
        clips.append(ClipRecord(boxes, scores, truth))
        seen.append(Detections(boxes, scores, torch.ones(len(boxes), dtype=torch.long)))
    truths = [each.truth for each in clips]
    return PairAnswers(PairRecord(label, clips), None, [torch.empty(0, 4)] * 9, truths, {}, pair, seen)


def results_of(*answers: PairAnswers) -> dict:
    return {
        "metric_version": 2, "split": ["test"], "evaluated": f"{len(answers)} of {len(answers)} pairs",
        "labels": {"1": "<nod>"}, "checkpoint": {}, "pairs_digest": "", "store_spec": {}, **score(answers, ClipSpec()),
    }  # fmt: skip


def ground(picture: np.ndarray) -> str:
    """The colour of the film where nothing is drawn."""
    return ("red", "green", "blue")[int(picture[-4:, -4:].reshape(-1, 3).mean(0).argmax())]


def outline(picture: np.ndarray, box: list[float], colour: tuple[int, int, int]) -> float:
    """Which share of the box's left edge has the colour."""
    column = picture[int(box[1] * SIDE) + 2 : int(box[3] * SIDE) - 2, int(box[0] * SIDE)]
    return float((np.abs(column.astype(int) - colour).max(1) < 8).mean())


def test_moments_are_in_the_middle_of_their_clips():
    """Three clips a second: clip 7 is on screen from 7/3 s to 8/3 s."""
    worst = score([asked("1", "film", 7, 0.8)], ClipSpec())["worst"][0]
    assert worst["query"] == {"video": "query", "start": 0, "stop": 3, "seconds": pytest.approx(0.5), "box": BOX}
    assert worst["target"] == {"seconds": pytest.approx(1.5), "box": BOX}
    assert worst["mistake"] == {"seconds": pytest.approx(2.5), "box": FAR, "score": pytest.approx(0.8), "truth": []}


def test_a_wrong_time_shows_when_it_was_and_when_it_should_have_been(videos):
    (answer,), reasons = worst_answers(results_of(asked("1", "film", 7, 0.8)), videos)
    assert reasons == []
    assert ground(answer.query) == "red"
    assert outline(answer.query, BOX, QUERY) == 1
    (wrong_words, wrong), (true_words, true) = answer.stills
    assert (ground(wrong), ground(true)) == ("blue", "green")
    assert outline(wrong, FAR, WRONG) == 1
    assert outline(wrong, BOX, TRUTH) == 0
    assert 0.3 < outline(true, BOX, TRUTH) < 0.7  # dashed
    assert (wrong_words, true_words) == ("2.5 s: scored 0.80, nobody does it here", "1.5 s: here it is")


def test_a_wrong_place_shows_the_true_box_beside_it(videos):
    (answer,), _ = worst_answers(results_of(asked("1", "film", 4, 0.8)), videos)
    ((words, picture),) = answer.stills
    assert ground(picture) == "green"
    assert outline(picture, FAR, WRONG) == 1
    assert 0.3 < outline(picture, BOX, TRUTH) < 0.7
    assert words == "1.5 s: scored 0.80, beside it"


def test_what_was_not_found_is_shown_where_it_is(videos):
    (answer,), _ = worst_answers(results_of(asked("1", "film", -1, 0)), videos)
    ((words, picture),) = answer.stills
    assert ground(picture) == "green"
    assert words == "1.2 s: not found"


def test_videos_that_cannot_be_shown_are_told_of_once_and_the_others_are_shown(videos):
    results = results_of(*(asked("1", name, 7, 0.8) for name in ("broken", "film", "gone", "gone", "other")))
    answers, reasons = worst_answers(results, videos)
    assert [answer.title.split(", ")[1] for answer in answers] == ["searched in film", "searched in other"]
    assert len(reasons) == 2
    assert "broken.mp4 cannot be read" in reasons[0]
    assert reasons[1] == "'gone' has no video file."


def test_the_page_holds_the_stills_and_a_legend(videos, tmp_path):
    results = results_of(asked("1", "film", 7, 0.8))
    answers, _ = worst_answers(results, videos)
    bare, page = (write_report(tmp_path / "page.html", evaluation_report(results, some)).read_text(encoding="utf-8")
                  for some in ((), answers))
    assert page.count("data:image/jpeg;base64,") == 3
    assert "data:image" not in bare
    assert 'class="legend"' not in bare
    assert page.count("Answered worst") == 2  # the table and the stills
    assert "the best-scored detection that hits no target" in page
    assert "&lt;nod&gt;: asked with query, searched in film" in page
    assert "<nod>" not in page
