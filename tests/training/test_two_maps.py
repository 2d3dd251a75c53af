"""Heads on a store of several maps: what is read, what a checkpoint says, and where it can be asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file
from stopping import Stopped, assert_same_run, logged, stop_at
from tiny import HEAD, SPEC, TWO, tiny_options, write_store

from stvr.heads.checkpoint import load_head
from stvr.jobs.evaluate import evaluate
from stvr.jobs.train import train
from stvr.session import Session
from stvr.store import FeatureStore

DEEP_HEAD = {**HEAD, "match_on": "Mixed_5c", "match_width": 4}


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    """The tiny store with a second map."""
    return write_store(tmp_path_factory.mktemp("both") / "store", TWO).path


@pytest.fixture(scope="module")
def deep_run(both, pairs, tmp_path_factory) -> Path:
    """Trained to match on the second map, and stopped on the way."""
    out = tmp_path_factory.mktemp("runs") / "deep"
    with pytest.raises(Stopped):
        train(both, pairs, out, tiny_options(head=DEEP_HEAD), report=stop_at(3))
    return train(both, pairs, out, tiny_options(head=DEEP_HEAD), resume=True).run


def test_a_run_on_two_maps_that_was_stopped_ends_as_an_unbroken_one(both, pairs, deep_run, tmp_path):
    train(both, pairs, tmp_path / "unbroken", tiny_options(head=DEEP_HEAD))
    assert_same_run(tmp_path / "unbroken", deep_run)


def test_a_checkpoint_says_what_it_reads_and_keeps_the_statistics(both, deep_run):
    loaded = load_head(deep_run)
    assert (loaded.options.localise_on, loaded.options.match_on) == ("Mixed_4c", "Mixed_5c")
    assert loaded.spec == TWO
    state = load_file(deep_run / "head.safetensors")
    assert state["deep_match.mean"].shape == (6,)
    assert (state["deep_match.mean"] - 0.5).abs().max() < 0.05  # even numbers in [0, 1]
    assert (state["deep_match.deviation"] - 12**-0.5).abs().max() < 0.03


def test_it_is_evaluated_and_asked_by_the_command_line(both, pairs, deep_run, tmp_path, stvr):
    judged = stvr("eval", "--checkpoint", deep_run, "--store", both, "--pairs", pairs, "--split", "train", "--out",
                  tmp_path, "--audit")
    assert judged.status == 0, judged.err
    assert json.loads((tmp_path / "eval.json").read_text())["evaluated"] == "6 of 6 pairs"
    session = Session.open(deep_run, store=both)
    one, other = (session.query(video, (0.2, 0.1, 0.6, 0.9), at=3.0) for video in "ac")
    asked = session.together(one, other)
    lengths = {name: len(each) for name, each in asked.regions.items()}
    assert lengths == {"regions": 8, "deep": 8}  # from 2.5 to 3.5 s there are four clips in each
    assert len(session.ask(asked, "b").tubelets) > 0


def test_a_head_of_one_map_works_on_every_store_that_has_it(both, pairs, tmp_path):
    """Trained on either store it is the same head, and both stores give it the same figures."""
    alone = write_store(tmp_path / "alone").path  # the same Mixed_4c
    runs = {store.name: train(store, pairs, tmp_path / f"run of {number}", tiny_options()).run
            for number, store in enumerate((alone, both))}  # fmt: skip
    assert logged(runs["alone"]) == logged(runs["store"])
    assert load_head(runs["store"]).spec == SPEC
    figures = [evaluate(run, store, pairs, split="train")["frame_map"] for run in runs.values()
               for store in (alone, both)]
    assert all(each == figures[0] for each in figures)


def test_features_that_do_not_have_it_are_refused(pairs, deep_run, tmp_path):
    alone = write_store(tmp_path / "alone").path
    with pytest.raises(ValueError, match=r"reads Mixed_5c, but the features are those of Mixed_4c"):
        evaluate(deep_run, alone, pairs, split="train")
    other = write_store(tmp_path / "other", replace(TWO, weights_digest="sha256:00,sha256:06")).path
    with pytest.raises(ValueError, match=r"weights_digest of Mixed_5c is 'sha256:05', not 'sha256:06'"):
        evaluate(deep_run, other, pairs, split="train")
    refused = {"Mixed_5c": r"reads Mixed_5c, .*Extract with --endpoint Mixed_4c,Mixed_5c", "Mixed_4f": "reads Mixed_4f"}
    for name, words in refused.items():
        with pytest.raises(ValueError, match=words):
            train(alone, pairs, tmp_path / name, tiny_options(head={**HEAD, "match_on": name}))


def test_flow_is_read_on_the_grid_that_it_has(pairs, tmp_path):
    store = write_store(tmp_path / "store", replace(TWO, flow="ilk at 80 px")).path
    own = {**DEEP_HEAD, "propagation": "flow"}
    run = train(store, pairs, tmp_path / "run", tiny_options(head=own, steps=2)).run
    assert evaluate(run, store, pairs, split="train")["evaluated"] == "6 of 6 pairs"
    with pytest.raises(ValueError, match="on the grid of Mixed_5c, but it lies on that of the finest map, Mixed_4c"):
        train(store, pairs, tmp_path / "coarse", tiny_options(head={**own, "localise_on": "Mixed_5c"}))


def test_a_head_may_localise_on_the_coarse_map(both, pairs, tmp_path):
    own = {**HEAD, "localise_on": "Mixed_5c"}
    run = train(both, pairs, tmp_path / "run", tiny_options(head=own, steps=2)).run
    assert load_head(run).spec == TWO.only(["Mixed_5c"])
    assert evaluate(run, FeatureStore.open(both).path, pairs, split="train")["evaluated"] == "6 of 6 pairs"
