"""How often a score as high is a false alarm: held against SciPy's Gumbel distribution, and against draws of it."""

from __future__ import annotations

import numpy as np
import pytest
from patterned import video, write
from scipy.stats import gumbel_r

from stvr.library import Library, build_index
from stvr.library.calibration import LEAST_VIDEOS, Background, best_by_video
from stvr.library.filters import Filters
from stvr.library.search import score_rows


def test_what_is_usual_is_read_off_the_scores():
    drawn = gumbel_r.rvs(0.3, 0.07, 20_000, random_state=0)
    found = Background.of(drawn.astype(np.float32))
    assert found.middle == pytest.approx(0.3, abs=0.003)
    assert found.scale == pytest.approx(0.07, rel=0.03)
    assert found.num_videos == 20_000


def test_a_false_alarm_is_the_best_of_all_videos_by_chance():
    background = Background(0.2, 0.05, 60)
    for score in (-0.5, 0.2, 0.4, 0.5, 0.7, 2.0):
        assert background.false_alarm(score) == pytest.approx(1 - gumbel_r.cdf(score, 0.2, 0.05) ** 60, abs=1e-12)
    assert Background(0.2, 1e-6, 60).false_alarm(-1.0) == 1.0


def test_stated_rates_hold_where_scores_are_drawn_so():
    """Of 1,000 libraries of 200 videos without it; the quartiles of so few are not quite known."""
    drawn = gumbel_r.rvs(0.1, 0.1, (1000, 200), random_state=1).astype(np.float32)
    for rate in (0.05, 0.2):
        wrong = [Background.of(each).false_alarm(float(each.max())) <= rate for each in drawn]
        assert rate / 2 < np.mean(wrong) < 2 * rate


def test_videos_that_show_it_change_little():
    drawn = gumbel_r.rvs(0.1, 0.1, 300, random_state=2).astype(np.float32)
    with_it = np.concatenate([drawn, np.full(15, 0.9, np.float32)])  # one in twenty
    before, after = (Background.of(each).false_alarm(0.9) for each in (drawn, with_it))
    assert before < after < 3 * before


def test_too_few_videos_say_nothing():
    scores = np.linspace(0, 1, LEAST_VIDEOS, dtype=np.float32)
    assert Background.of(scores) is not None
    assert Background.of(np.append(scores[1:], -np.inf)) is None  # one has no rows


def test_the_best_row_of_a_video_counts(library):
    scores = np.random.default_rng(0).normal(size=len(library.index)).astype(np.float32)
    found = best_by_video(library.index.rows, scores, len(library.videos))
    assert found.tolist() == [max(scores[library.index.rows.video == number]) for number in range(len(library.videos))]


def test_small_libraries_do_not_know_and_say_so(library, stvr, patterned_index):
    query = library.query("q", (0.2, 0.3, 0.5, 0.8), 1.0)
    assert {hit.false_alarm for hit in library.search(query)} == {None}
    ended = stvr("search", patterned_index, "--query", "q", "--box", "0.2,0.3,0.5,0.8", "--at", 1,
                 "--false-alarms", 0.1)  # fmt: skip
    assert (ended.status, "takes at least 20 videos" in ended.err) == (2, True)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Thirty videos, in two of which somebody does as in `v0`."""
    folder = tmp_path_factory.mktemp("crowd")
    patterns = [1, 1, 1, *range(10, 37)]
    write(folder / "store", **{f"v{number}": video(4, pattern, 100 + number, seed=number)
                               for number, pattern in enumerate(patterns)})  # fmt: skip
    build_index([folder / "store"], folder / "index", report=lambda step: None, tell=lambda line: None)
    return Library.open(folder / "index", device="cpu")


def test_every_hit_says_its_rate_and_those_above_the_stated_one_are_not_told(crowd):
    asked = {"box": (0.2, 0.3, 0.5, 0.8), "at": 0.5}
    query = crowd.query("v0", **asked)
    every = crowd.search(query, top=None, windows=None, without=["v0"])
    scored = score_rows(crowd.index, crowd.index.describe(query), None, None, Filters(without=("v0",)))
    assert scored.background.num_videos == 29
    rows, names = crowd.index.rows, [video.name for video in crowd.videos]
    for hit in every:
        own = (rows.video == names.index(hit.video)) & (rows.start < hit.tubelet.span.stop)
        own &= rows.stop > hit.tubelet.span.start
        score, (middle, scale, count) = float(scored.scores[own].max()), scored.background
        assert hit.false_alarm == pytest.approx(1 - gumbel_r.cdf(score, middle, scale) ** count, abs=1e-9)
    rates = {hit.video: hit.false_alarm for hit in reversed(every)}
    assert set(sorted(rates, key=rates.__getitem__)[:2]) == {"v1", "v2"}
    stated = max(rates["v1"], rates["v2"])
    told = crowd.search(query, top=None, windows=None, without=["v0"], false_alarms=stated)
    assert {hit.video for hit in told} == {"v1", "v2"}
    assert [hit.tubelet.score for hit in told] == [hit.score for hit in every if hit.false_alarm <= stated]
    gone = crowd.search(query, windows=None, without=["v0", "v1", "v2"], false_alarms=stated / 2)
    assert gone == []  # nothing is left that shows it
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        crowd.search(query, false_alarms=0.0)
