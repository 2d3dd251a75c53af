"""Ranking without looking at the query gains under the authors' protocol and nothing under ours: on the world."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from stvr.annotations.labelled import AnnotatedTubelet
from stvr.metrics import PairRecord, frame_map, probe_records
from stvr.metrics.bootstrap import bootstrap, interval, mean_over_labels
from stvr.structures import ClipSpec, Pair, Span
from stvr.tasks.pairs.build import build_pairs
from stvr.tasks.pairs.truth import everyone_by_clip, targets_by_clip
from stvr.world.options import WorldOptions
from stvr.world.rendered import tubelets
from stvr.world.scenes import build_scene

SECONDS, NUM_VIDEOS, NUM_PAIRS = 30, 16, 100


@pytest.fixture(scope="module", params=[0, 1])
def annotated(request) -> list[AnnotatedTubelet]:
    """Two or three actors a video, each doing one action after another for 2 to 4 s each; no picture is drawn."""
    options = WorldOptions(seed=request.param, num_test_videos=NUM_VIDEOS, image_size=32, seconds=(SECONDS, SECONDS))
    found = []
    for video in options.names()[-NUM_VIDEOS:]:
        person = -1
        for label, tubelet in tubelets(build_scene(options, video), video, ClipSpec(image_size=32)):
            person += tubelet.span.start == 0  # the next actor
            found.append(AnnotatedTubelet(tubelet, label, str(person)))
    return found


def drawn_pairs(annotated: list[AnnotatedTubelet], protocol: str) -> list[Pair]:
    extents = {each.video: Span(each.video, 0, 3 * SECONDS) for each in annotated}
    held_out = {"test": {each.label for each in annotated}}
    pairs = build_pairs(annotated, extents, held_out=held_out, protocol=protocol, train_videos=())
    return [pairs[index] for index in np.random.default_rng(0).permutation(len(pairs))[:NUM_PAIRS]]


def probed(pairs: list[Pair]) -> dict[str, list[PairRecord]]:
    records, random = defaultdict(list), np.random.default_rng(0)
    for pair in pairs:
        everyone, truth = ([clip.boxes for clip in clips] for clips in (everyone_by_clip(pair), targets_by_clip(pair)))
        for name, record in probe_records(pair.label, everyone, truth, pair.query.boxes, random).items():
            records[name].append(record)
    return records


def test_the_centre_is_far_above_random_where_the_target_is_always_in_the_middle(annotated):
    records = probed(drawn_pairs(annotated, "released"))
    centre, random, middle = (frame_map(records[name], [0.5]).mean[0.5]
                              for name in ("centre", "random score", "middle third / number of boxes"))
    assert centre > random + 0.10
    assert middle > random + 0.10


def test_the_centre_is_within_its_interval_of_random_where_the_target_is_anywhere(annotated):
    records = probed(drawn_pairs(annotated, "debiased"))
    drawn = bootstrap({name: records[name] for name in ("centre", "random score")}, 0.5, draws=100)
    low, high = interval(mean_over_labels(drawn["centre"]))
    assert low <= frame_map(records["random score"], [0.5]).mean[0.5] <= high


def test_a_target_is_in_the_middle_third_under_released_and_anywhere_under_debiased(annotated):
    """Counted by hand: in each third of the reference, the share of clips with a target."""
    thirds = {}
    for protocol in ("released", "debiased"):
        counts, totals = np.zeros(3), np.zeros(3)
        for pair in drawn_pairs(annotated, protocol):
            if pair.targets:
                for clip in range(pair.reference.start, pair.reference.stop):
                    third = 3 * (clip - pair.reference.start) // len(pair.reference)
                    totals[third] += 1
                    counts[third] += any(target.span.start <= clip < target.span.stop for target in pair.targets)
        thirds[protocol] = counts / totals
    assert thirds["released"][1] > 0.85
    assert max(thirds["released"][0], thirds["released"][2]) < 0.4
    assert np.ptp(thirds["debiased"]) < 0.15
