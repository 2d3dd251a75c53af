"""Training ends with the same weights whatever happens on the way, and refuses what does not fit."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from stopping import Stopped, assert_same_run, logged, stop_at
from tiny import NUM_CLIPS, SPEC, pair, tiny_options, write_store, write_tiny_pairs

import stvr.files
import stvr.jobs.train
import stvr.training.runs
from stvr.heads.checkpoint import load_head
from stvr.jobs.train import train, train_options
from stvr.structures import ClipSpec, MapSpec, Span
from stvr.training.loop import LoopOptions
from stvr.training.one_step import learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def unbroken(store: Path, pairs: Path, tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return train(store, pairs, tmp_path_factory.mktemp("unbroken") / "run", tiny_options()).run


@pytest.mark.parametrize("last", [1, 2, 3])
def test_a_run_that_was_stopped_ends_as_an_unbroken_one(last, store, pairs, unbroken, tmp_path):
    with pytest.raises(Stopped):
        train(store, pairs, tmp_path / "run", tiny_options(), report=stop_at(last))
    done = train(store, pairs, tmp_path / "run", tiny_options(), resume=True)
    assert (done.steps, done.steps_now) == (4, 2 if last == 3 else 4)  # saved after every second step
    assert_same_run(tmp_path / "run", unbroken)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_momentum_is_resumed_too(optimizer, store, pairs, tmp_path):
    options = tiny_options(optimizer=optimizer, lr=0.01)
    train(store, pairs, tmp_path / "whole", options)
    with pytest.raises(Stopped):
        train(store, pairs, tmp_path / "run", options, report=stop_at(3))
    train(store, pairs, tmp_path / "run", options, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("written", range(1, 6))
def test_a_stop_between_any_two_files_does_no_harm(written, store, pairs, unbroken, tmp_path, monkeypatch):
    """Files are put in place by renames: config, log, then head and state at every save."""
    renamed, replace_file = [], os.replace

    def replace_or_stop(source, target):
        if len(renamed) == written:
            raise Stopped
        renamed.append(target)
        replace_file(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(stvr.files.os, "replace", replace_or_stop)
        with pytest.raises(Stopped):
            train(store, pairs, tmp_path / "run", tiny_options())
    train(store, pairs, tmp_path / "run", tiny_options(), resume=True)
    assert_same_run(tmp_path / "run", unbroken)


@pytest.mark.parametrize(("room", "writes"), [(stvr.jobs.train, "save_head"), (stvr.training.runs, "write_tensors")])
def test_a_stop_before_a_last_file_leaves_no_old_head(room, writes, store, pairs, unbroken, tmp_path, monkeypatch):
    write = getattr(room, writes)

    def write_or_stop(*values):
        if values[-1]["step"] == 4:  # the header of either file says how far training is
            raise Stopped
        write(*values)

    with monkeypatch.context() as patch:
        patch.setattr(room, writes, write_or_stop)
        with pytest.raises(Stopped):
            train(store, pairs, tmp_path / "run", tiny_options())
    train(store, pairs, tmp_path / "run", tiny_options(), resume=True)
    assert_same_run(tmp_path / "run", unbroken)
    assert load_head(tmp_path / "run").provenance["step"] == 4


def killed_in_the_middle(store: Path, pairs: Path, out: Path) -> None:
    def report(step: int, steps: int, losses: object) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    train(store, pairs, out, tiny_options(), report=report)


@pytest.mark.slow
def test_a_killed_process_is_resumed_bit_for_bit(store, pairs, unbroken, tmp_path):
    child = multiprocessing.get_context("spawn").Process(
        target=killed_in_the_middle, args=(store, pairs, tmp_path / "run"))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    train(store, pairs, tmp_path / "run", tiny_options(), resume=True)
    assert_same_run(tmp_path / "run", unbroken)


def test_a_line_of_the_log_that_was_cut_is_taken_out(store, pairs, unbroken, tmp_path):
    with pytest.raises(Stopped):
        train(store, pairs, tmp_path / "run", tiny_options(), report=stop_at(2))
    with (tmp_path / "run" / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "total": 1.')
    train(store, pairs, tmp_path / "run", tiny_options(), resume=True)
    assert_same_run(tmp_path / "run", unbroken)


def test_resuming_nothing_begins_at_the_start(store, pairs, unbroken, tmp_path):
    assert train(store, pairs, tmp_path / "run", tiny_options(), resume=True).steps_now == 4
    assert_same_run(tmp_path / "run", unbroken)


def test_resuming_a_finished_run_does_nothing(store, pairs, unbroken):
    before = (unbroken / "state.safetensors").stat().st_mtime_ns
    done = train(store, pairs, unbroken, tiny_options(), resume=True)
    assert (done.steps, done.steps_now, dict(done.losses)) == (4, 0, {})
    assert (unbroken / "state.safetensors").stat().st_mtime_ns == before


def test_another_seed_gives_other_weights(store, pairs, unbroken, tmp_path):
    train(store, pairs, tmp_path / "run", tiny_options(seed=1))
    assert logged(tmp_path / "run")[-1]["total"] != logged(unbroken)[-1]["total"]


def test_the_head_can_be_loaded_and_says_what_made_it(unbroken, pairs):
    loaded = load_head(unbroken)
    assert loaded.spec == SPEC
    assert not loaded.head.training
    assert loaded.provenance["train"]["batch_size"] == 2
    assert loaded.provenance["num_pairs"] == 5


@pytest.mark.parametrize(("side", "propagation"),
                         [(20, "warp_lstm"), (10, "none"), (10, "conv_lstm"), (10, "traj_lstm"), (7, "warp_lstm")])
def test_maps_of_any_size_and_every_propagation_train(side, propagation, pairs, tmp_path):
    store = write_store(tmp_path / "store", side=side)
    done = train(store.path, pairs, tmp_path / "run", tiny_options(steps=1, head={"propagation": propagation}))
    assert done.losses["total"] > 0


def test_the_small_preset_trains_on_maps_of_320_pixels(pairs, tmp_path):
    store = write_store(tmp_path / "store", replace(SPEC, clip=ClipSpec(image_size=320)), side=20)
    done = train(store.path, pairs, tmp_path / "run", train_options("small", flags={"steps": 1, "batch_size": 2}))
    assert done.steps_now == 1


def test_training_lowers_the_losses_of_both_stages(store, pairs, tmp_path):
    train(store, pairs, tmp_path / "run", tiny_options(steps=40, lr=0.003, save_every=40))
    for name in ("rpn_objectness", "class"):
        values = [line[name] for line in logged(tmp_path / "run")]
        assert sum(values[-8:]) < 0.7 * sum(values[:8])


# 0.03 to step 10,000, a tenth to 20,000, then a hundredth: Feng et al. 2019 and their pipeline config.
@pytest.mark.parametrize(("step", "rate"), [(0, 0.03), (9_999, 0.03), (10_000, 0.003), (20_000, 0.0003)])
def test_the_paper_preset_has_the_programs_learning_rate(step, rate):
    assert learning_rate(LoopOptions(), step) == pytest.approx(rate)


def test_a_cosine_begins_warm_and_ends_at_nothing():
    options = LoopOptions(schedule="cosine", warmup_steps=10, steps=110, lr=1.0)
    assert [learning_rate(options, step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert [learning_rate(options, step) for step in (10, 60, 110)] == pytest.approx([1.0, 0.5, 0.0], abs=1e-9)


def test_flags_win_over_a_file_and_a_file_over_the_preset(tmp_path):
    (tmp_path / "own.toml").write_text("steps = 7\nlr = 0.5\n[head]\nwidth = 24\n")
    options = train_options("small", tmp_path / "own.toml", {"lr": 0.25, "head": {"propagation": "none"}})
    assert (options.steps, options.lr, options.head.width, options.head.propagation) == (7, 0.25, 24, {"name": "none"})
    assert options.schedule == "cosine"  # of the preset


def test_a_run_is_not_written_over(store, pairs, unbroken):
    with pytest.raises(ValueError, match=r"is not empty.*--resume"):
        train(store, pairs, unbroken, tiny_options())


def test_a_folder_of_other_things_is_left_alone(store, pairs, tmp_path):
    (tmp_path / "config.json").write_text('{"mine": 1}')
    for resume in (False, True):
        with pytest.raises(ValueError, match="not empty"):
            train(store, pairs, tmp_path, tiny_options(), resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text() == '{"mine": 1}'


@pytest.mark.parametrize(("flags", "says"), [({"lr": 0.5}, "other lr"), ({"steps": 8, "seed": 3}, "other steps, seed"),
                                             ({"head": {"propagation": "none"}}, "other head")])
def test_a_run_is_not_resumed_with_other_options(flags, says, store, pairs, unbroken):
    with pytest.raises(ValueError, match=says):
        train(store, pairs, unbroken, tiny_options(**flags), resume=True)


def test_a_run_is_not_resumed_with_other_pairs_or_features(store, pairs, unbroken, tmp_path):
    fewer = write_tiny_pairs(tmp_path / "pairs.json", [pair("a", "b")])
    with pytest.raises(ValueError, match="other pairs_digest, num_pairs"):
        train(store, fewer, unbroken, tiny_options(), resume=True)
    other = write_store(tmp_path / "other", replace(SPEC, weights_digest="sha256:11"))
    with pytest.raises(ValueError, match="other spec"):
        train(other.path, pairs, unbroken, tiny_options(), resume=True)


def test_pairs_that_the_store_cannot_feed_are_left_out_and_told_of(store, tmp_path, caplog):
    path = write_tiny_pairs(tmp_path / "pairs.json", [pair("a", "b"), pair("b", "a", stop=NUM_CLIPS + 1)])
    done = train(store, path, tmp_path / "run", tiny_options(steps=1))
    assert "1 of 2 training pairs" in caplog.text
    assert "'a' has 24 clips" in caplog.text
    assert load_head(done.run).provenance["num_pairs"] == 1


def test_pairs_of_which_none_can_be_read_are_refused(pairs, tmp_path):
    lone = write_store(tmp_path / "store", videos="a")
    with pytest.raises(LookupError, match=r"5 of 5 training pairs.*is not in.*stvr extract"):
        train(lone.path, pairs, tmp_path / "run", tiny_options())
    assert not (tmp_path / "run").exists()


def test_pairs_without_a_training_pair_are_refused(store, tmp_path):
    path = write_tiny_pairs(tmp_path / "pairs.json", [pair("a", "b", "test")])
    with pytest.raises(ValueError, match="none with split 'train'"):
        train(store, path, tmp_path / "run", tiny_options())


def test_pairs_that_count_other_clips_are_refused(store, tmp_path):
    path = write_tiny_pairs(tmp_path / "pairs.json", fps=12)
    with pytest.raises(ValueError, match=r"8 frames at 12 a second.*8 at 24"):
        train(store, path, tmp_path / "run", tiny_options())


def test_features_without_places_are_refused(pairs, tmp_path):
    mean = (MapSpec("Mixed_5c.mean", 160, 2, 8),)
    store = write_store(tmp_path / "store", replace(SPEC, maps=mean), side=1, videos="abcd")
    with pytest.raises(ValueError, match=r"'matching' reads maps, but Mixed_5c.mean is one cell for the whole picture"):
        train(store.path, pairs, tmp_path / "run", tiny_options())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("flags", "says"), [({"propagation": "wind"}, "no propagation 'wind'"),
                                             ({"name": "hydra"}, "no head 'hydra'")])
def test_a_head_that_is_on_no_menu_leaves_no_folder(flags, says, store, pairs, tmp_path):
    with pytest.raises(LookupError, match=says):
        train(store, pairs, tmp_path / "run", tiny_options(head=flags))
    assert not (tmp_path / "run").exists()


def test_the_flow_rival_without_flow_leaves_no_folder(store, pairs, tmp_path):
    with pytest.raises(ValueError, match=r"'matching' reads optical flow.*have none.*--flow ilk"):
        train(store, pairs, tmp_path / "run", tiny_options(head={"propagation": "flow"}))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_before_it_is_saved(pairs, tmp_path):
    store = write_store(tmp_path / "store")
    options = tiny_options(lr=1e30, warmup_steps=0, optimizer="sgd", clip_norm=1e30, save_every=1, steps=20)
    with pytest.raises(ValueError, match=r"step \d+ is no longer finite.*smaller --lr than 1e\+30"):
        train(store.path, pairs, tmp_path / "run", options)
    for name in ("head.safetensors", "state.safetensors"):
        if (tmp_path / "run" / name).exists():
            assert all(torch.isfinite(tensor).all() for tensor in load_file(tmp_path / "run" / name).values())


@pytest.mark.parametrize(("weights", "scale"), [("analytic", "rms"), ("rgb_imagenet.pt", "none")])
def test_only_features_of_untrained_weights_are_scaled(weights, scale, pairs, tmp_path):
    store = write_store(tmp_path / "store", replace(SPEC, weights=weights))
    train(store.path, pairs, tmp_path / "run", tiny_options(steps=1, head={"width": None}))
    loaded = load_head(tmp_path / "run")
    assert loaded.options.feature_scale == scale
    if scale == "rms":
        maps = torch.cat([store.read(Span(video, 0, NUM_CLIPS)) for video in "abcd"]).float()
        assert loaded.head.adapter.size.item() == pytest.approx(maps.square().mean().sqrt().item(), rel=0.02)


@pytest.mark.parametrize(("table", "fault"), [
    ('head = "matching"', "'head': wanted a table"),
    ("[[head]]", "'head': wanted a table"),
    ('[head]\nname = ["a"]', "name of a head is a text"),
    ("[head]\npropagation = 3", "name of a propagation"),
    ('[head.propagation]\nname = ["a"]', "name of a propagation is a text"),
])  # fmt: skip
def test_a_table_of_another_kind_is_refused(table, fault, tmp_path):
    (tmp_path / "own.toml").write_text(table)
    with pytest.raises((ValueError, LookupError), match=fault):
        train_options(None, tmp_path / "own.toml")
