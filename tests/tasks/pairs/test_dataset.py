"""Pairs and features become batches: what a clip is told to hold, what is padded, and which batch comes when."""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import NUM_CLIPS, pair, tubelet, write_store, write_tiny_pairs

from stvr.store import FeatureStore
from stvr.structures import Pair, Span
from stvr.tasks.pairs.dataset import collate, lacking, read_item, read_pairs_for, truth_of
from stvr.tasks.pairs.draws import Draws


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    return write_store(tmp_path_factory.mktemp("features") / "store", side=4)


def draws(pairs: list[Pair], **options) -> Draws:
    return Draws(pairs, **{"batch_size": 2, "window": 6, "max_query": 4, "seed": 0} | options)


PAIRS = [pair("a", "b"), pair("b", "a"), pair("c", "d"), pair("d", "c"), pair("a", "c")]


def test_time_is_folded_into_the_channels_time_major(store: FeatureStore):
    maps, raw = store.read_features(Span("a", 3, 5)).only, store.read(Span("a", 3, 5))  # (2, 4, 4, 2, 8)
    assert maps.shape == (2, 4, 4, 16)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps[..., :8], raw[..., 0, :].float())
    torch.testing.assert_close(maps[..., 8:], raw[..., 1, :].float())


def test_every_clip_knows_who_is_in_it():
    reference = Span("b", 4, 16)
    boxes, labels = truth_of(Pair(tubelet("a"), reference, (tubelet("b", 6, 12),), "1", (tubelet("b", 0, 8),)))
    assert labels.tolist() == [[1, 0], [1, 0], [2, 1], [2, 1], *[[2, 0]] * 4, *[[0, 0]] * 4]
    assert boxes.shape == (12, 2, 4)
    torch.testing.assert_close(boxes[2, 0], torch.tensor([0.2, 0.1, 0.6, 0.9]))
    assert (boxes[labels == 0] == 0).all()


def test_shorter_items_are_padded_with_zeros(store: FeatureStore):
    short = Pair(tubelet("a", 6, 8), Span("b", 0, 3), (), "1", (tubelet("b", 0, 2), tubelet("b", 1, 2)))
    batch = collate([read_item(store, short), read_item(store, pair("c", "d", stop=8))])
    assert batch.reference.shape == (2, 8, 4, 4, 16)
    assert batch.query.shape == (2, 6, 4, 4, 16)
    assert batch.reference_mask.sum(1).tolist() == [3, 8]
    assert batch.query_mask.sum(1).tolist() == [2, 6]
    assert batch.target_labels.tolist()[0][:3] == [[1, 0], [1, 1], [0, 0]]
    for values in (batch.reference[0, 3:], batch.query[0, 2:], batch.query_boxes[0, 2:], batch.target_labels[0, 3:]):
        assert (values == 0).all()
    torch.testing.assert_close(batch.reference[1], store.read_features(Span("d", 0, 8)).only)


def test_equal_labels_are_asked_by_equal_numbers(store: FeatureStore):
    asked = collate([read_item(store, each) for each in PAIRS]).asked
    assert asked[0] == asked[1] == asked[4]
    assert asked[2] == asked[3] != asked[0]


def drawn(source: Draws, steps: range) -> list[tuple]:
    return [(d.pair.query.span, d.pair.reference, [t.span for t in d.pair.targets], d.seed, d.flip_query)
            for step in steps for d in source[step]]


@pytest.mark.parametrize("how", [{}, {"flip": True}, {"batching": "by_length"}])
def test_a_batch_depends_on_the_seed_and_its_number_alone(how: dict):
    one, other = draws(PAIRS, **how), draws(PAIRS, **how)
    ahead = drawn(one, range(20))
    backwards = [each for step in reversed(range(20)) for each in drawn(other, range(step, step + 1))[::-1]]
    assert backwards == ahead[::-1]
    assert drawn(draws(PAIRS, seed=1, **how), range(20)) != ahead


@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_every_pair_comes_once_an_epoch_and_epochs_differ(batch_size: int):
    source = draws(PAIRS, batch_size=batch_size)
    names = [(d.pair.query.span.video, d.pair.reference.video) for step in range(10 * 5) for d in source[step]]
    epochs = [names[first : first + 5] for first in range(0, len(names) - 4, 5)]
    assert all(len(set(epoch)) == 5 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 5


def test_windows_have_their_length_and_mostly_show_the_target():
    source, touched, starts = draws([PAIRS[0]], window=4), 0, Counter()
    for step in range(200):
        for cut in (draw.pair for draw in source[step]):
            assert len(cut.reference) == 4
            assert cut.reference.stop <= NUM_CLIPS
            assert len(cut.query.span) == 4
            assert all(t.span.overlap(cut.reference) == t.span for t in cut.targets)
            touched += bool(cut.targets)
            starts[cut.reference.start] += 1
    # three quarters are placed to touch the target; of the rest 9 of 21 windows touch clips 6 to 12
    assert touched / 400 == pytest.approx(0.75 + 0.25 * 9 / 21, abs=0.08)
    assert set(starts) == set(range(NUM_CLIPS - 3))  # and every place is seen


def test_windows_within_the_targets_show_nothing_else():
    source = draws([PAIRS[0]], window=4, windows="targets")
    starts = {draw.pair.reference.start for step in range(40) for draw in source[step]}
    assert starts == {6, 7, 8}


def test_a_reference_shorter_than_the_window_is_shown_whole():
    source = draws([pair("a", "b", stop=12)], window=30)
    spans = [draw.pair.reference for step in range(5) for draw in source[step]]
    assert {(span.start, span.stop) for span in spans} == {(0, 12)}


def test_no_pair_at_all_is_refused():
    with pytest.raises(ValueError, match="no training pair"):
        draws([])


def test_pairs_that_the_store_cannot_feed_are_named(store: FeatureStore):
    far = Pair(tubelet("a", 20, 30), Span("b", 0, 6), (), "1")
    reasons = lacking([PAIRS[0], far, Pair(tubelet("z"), Span("b", 0, 6), (), "1")], store)
    assert list(reasons) == [1, 2]
    assert "'a' has 24 clips" in reasons[1]
    assert reasons[1].endswith("not 30")
    assert reasons[2].startswith("'z' is not in ")


def test_a_pairs_file_fits_a_store_whatever_its_clips_see(store: FeatureStore, tmp_path: Path):
    in_context = copy(store)
    in_context.spec = replace(store.spec, clip=replace(store.spec.clip, context="video", cuts="keep"))
    assert len(read_pairs_for(write_tiny_pairs(tmp_path / "pairs.json"), in_context)[0]) == 10


def test_a_pairs_file_must_count_the_clips_of_the_store(store: FeatureStore, tmp_path: Path):
    assert len(read_pairs_for(write_tiny_pairs(tmp_path / "pairs.json"), store)[0]) == 10
    with pytest.raises(ValueError, match="8 frames at 25 a second"):
        read_pairs_for(write_tiny_pairs(tmp_path / "pairs.json", fps=25), store)
    text = (tmp_path / "pairs.json").read_text().replace('"clip"', '"clap"')
    (tmp_path / "pairs.json").write_text(text)
    with pytest.raises(ValueError, match="does not say how its clips are cut"):
        read_pairs_for(tmp_path / "pairs.json", store)
