"""What the training loop adds: several processes, averaged weights, bfloat16, mirrored views, a TensorBoard log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bfloat16 import needs_bfloat16
from safetensors.torch import load_file
from stopping import Stopped, assert_same_run, logged, stop_at
from tiny import SPEC, pair, tiny_options, tubelet, write_store

from stvr.jobs.evaluate import evaluate
from stvr.jobs.train import train
from stvr.propagation import PROPAGATION
from stvr.store import FeatureStore
from stvr.structures import Pair, Span, Tubelet
from stvr.tasks.pairs.dataset import EachRead, TrainingBatches, collate, mirrored, read_item
from stvr.tasks.pairs.draws import Draws

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


OPTIONS = {"batch_size": 4, "steps": 5, "save_every": 3, "window_seconds": 8.0, "max_query_seconds": 2.0, "lr": 3e-3}


def torchrun(processes: int, *command: str) -> subprocess.CompletedProcess:
    """Runs `stvr` in several processes, as a user would."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run([*launcher, "-m", "stvr", *command], env=ONE_THREAD, capture_output=True, text=True)


def write_toml(path: Path, options: dict) -> Path:
    """The options as a file; tables last."""
    plain = {name: value for name, value in options.items() if not isinstance(value, dict) and value is not None}
    lines = [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
    head = {name: value for name, value in options["head"].items() if value is not None}
    propagation = head.pop("propagation")
    for table, values in (("head", head), ("head.propagation", propagation)):
        given = {name: value for name, value in values.items() if value is not None}
        lines += [f"[{table}]", *(f"{name} = {json.dumps(value)}" for name, value in given.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_two_processes_learn_what_one_does(store, pairs, tmp_path, one_thread):
    """The same losses, gradient norms and weights at an equal batch, to rounding; gloo on two CPUs."""
    # AdamW makes much of rounding: it divides by its own size. So does the head in large steps, with some
    # seeds: at lr 3e-3 the gradient norms of one and two threads are 2e-7 to 3e-4 apart at the fifth.
    options = tiny_options(**{**OPTIONS, "lr": 1e-4}, optimizer="sgd")
    config = write_toml(tmp_path / "own.toml", options.model_dump(mode="json"))
    train(store, pairs, tmp_path / "one", options)
    flags = ["--store", str(store), "--pairs", str(pairs), "--preset", "small", "--config", str(config)]
    ended = torchrun(2, "train", "--frozen-backbone", *flags, "--readers", "1", "--out", str(tmp_path / "two"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("head.safetensors") == 1  # the first process alone tells of the result
    for one, two in zip(logged(tmp_path / "one"), logged(tmp_path / "two"), strict=True):
        assert two == pytest.approx(one, rel=2e-4, abs=2e-5)
    one, two = (load_file(tmp_path / run / "head.safetensors") for run in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4)
    refused = torchrun(2, "train", *flags, "--out", str(tmp_path / "three"), "--batch-size", "3")
    assert "a batch of 3 cannot be shared by 2 processes" in refused.stderr


def test_the_shares_of_a_batch_are_the_batch(store):
    opened = FeatureStore.open(store)
    asked = [pair("a", "b"), pair("b", "a", stop=14), pair("c", "d"), pair("d", "c", stop=12)]
    draws = Draws(asked, batch_size=4, window=24, max_query=6, seed=0)

    def read(draw):
        return read_item(opened, draw.pair)

    whole = TrainingBatches(draws, EachRead(read))(3)
    halves = [TrainingBatches(draws, EachRead(read), (which, 2))(3) for which in range(2)]
    for name in ("reference", "reference_mask", "query", "query_boxes", "query_mask", "asked", "seeds"):
        torch.testing.assert_close(torch.cat([getattr(half, name) for half in halves]), getattr(whole, name))


@pytest.mark.parametrize("more", [
    {"ema": 0.5}, pytest.param({"precision": "bfloat16"}, marks=needs_bfloat16), {"batching": "by_length"},
])  # fmt: skip
def test_whatever_is_added_a_stopped_run_ends_as_an_unbroken_one(more, store, pairs, tmp_path):
    options = tiny_options(**OPTIONS, **more)
    train(store, pairs, tmp_path / "whole", options)
    with pytest.raises(Stopped):
        train(store, pairs, tmp_path / "run", options, report=stop_at(4))
    assert train(store, pairs, tmp_path / "run", options, resume=True).steps_now == 2
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_the_saved_head_is_the_running_average_of_the_weights(store, pairs, tmp_path):
    """decay 0.5 over weights w1 .. w4, begun with w1: ((w1 + w2) / 2 + w3) / 2 ..., counted by hand."""
    expected: dict[str, torch.Tensor] = {}
    for steps in range(1, 5):
        run = tmp_path / str(steps)
        train(store, pairs, run, tiny_options(steps=steps, save_every=100, schedule="step"))
        now = load_file(run / "head.safetensors")
        expected = {name: (expected[name] + now[name]) / 2 if expected else now[name] for name in now}
    train(store, pairs, tmp_path / "run", tiny_options(steps=4, ema=0.5, save_every=100, schedule="step"))
    for name, value in load_file(tmp_path / "run" / "head.safetensors").items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)


def test_bfloat16_that_would_be_imitated_is_refused_before_the_first_step(store, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(ValueError, match=r"does not multiply bfloat16.*--precision float32"):
        train(store, pairs, tmp_path / "run", tiny_options(**OPTIONS, precision="bfloat16"))


@needs_bfloat16
def test_bfloat16_learns_what_float32_does(store, pairs, tmp_path):
    """Autocast: weights stay float32, and the losses of the first steps are those of float32 to bfloat16's rounding."""
    for precision in ("float32", "bfloat16"):
        train(store, pairs, tmp_path / precision, tiny_options(**OPTIONS, precision=precision))
    assert all(value.dtype == torch.float32 for value in load_file(tmp_path / "bfloat16" / "head.safetensors").values())
    exact, rounded = (logged(tmp_path / precision)[0] for precision in ("float32", "bfloat16"))
    for name in ("rpn_objectness", "class", "total"):
        assert rounded[name] == pytest.approx(exact[name], rel=0.03), name
    assert rounded != exact


def test_every_propagation_trains_from_one_store_by_one_flag(pairs, tmp_path):
    """And with one seed they begin alike: the same pairs, the same windows, the same proposal network."""
    store = write_store(tmp_path / "store", replace(SPEC, flow="ilk at 80 px", flipped=True)).path
    first = {}
    for name in PROPAGATION:
        run = train(store, pairs, tmp_path / name, tiny_options(steps=2, head={"propagation": name})).run
        first[name] = logged(run)[0]["total"]
        scores = evaluate(run, store, pairs, split="train")
        assert scores["evaluated"] == "6 of 6 pairs"
    assert len(first) == 7
    assert len(set(first.values())) == 7  # each of them does something else


def test_a_mirrored_view_comes_with_mirrored_boxes(tmp_path):
    store = write_store(tmp_path / "store", replace(SPEC, flipped=True))
    one = Pair(
        Tubelet(Span("a", 0, 2), torch.tensor([[0.1, 0.2, 0.4, 0.9]] * 2)), Span("b", 0, 3),
        (Tubelet(Span("b", 0, 2), torch.tensor([[0.0, 0.1, 0.3, 0.8]] * 2)),), "1",
    )  # fmt: skip
    plain, turned = read_item(store, one), read_item(store, one, flip_reference=True, flip_query=True)
    torch.testing.assert_close(turned.query_boxes, torch.tensor([[0.6, 0.2, 0.9, 0.9]] * 2))
    torch.testing.assert_close(turned.boxes[:2, 0], torch.tensor([[0.7, 0.1, 1.0, 0.8]] * 2))
    assert (turned.boxes[2] == 0).all()  # no box is here: padding is not mirrored into one
    assert torch.equal(turned.reference, store.read(Span("b", 0, 3), flipped=True).flatten(-2).float())
    assert not torch.equal(plain.query, turned.query)
    half = read_item(store, one, flip_query=True)
    assert torch.equal(half.reference, plain.reference)
    torch.testing.assert_close(mirrored(mirrored(plain.query_boxes)), plain.query_boxes)


def test_half_of_the_views_are_mirrored_query_and_reference_apart():
    draws = Draws([pair("a", "b")], batch_size=400, window=6, max_query=4, seed=0, flip=True)[0]
    both = [(draw.flip_reference, draw.flip_query) for draw in draws]
    for kind in [(False, False), (False, True), (True, False), (True, True)]:
        assert both.count(kind) / 400 == pytest.approx(0.25, abs=0.08)
    never = Draws([pair("a", "b")], batch_size=50, window=6, max_query=4, seed=0)[0]
    assert not any(draw.flip_reference or draw.flip_query for draw in never)


def test_mirroring_is_used_where_both_views_are_there_and_refused_where_they_are_not(store, pairs, tmp_path):
    both = write_store(tmp_path / "store", replace(SPEC, flipped=True)).path
    runs = {how: train(both, pairs, tmp_path / how, tiny_options(flip=how)).run for how in ("auto", "on", "off")}
    assert logged(runs["auto"]) == logged(runs["on"]) != logged(runs["off"])
    with pytest.raises(ValueError, match=r"flip is on.*stvr extract --flip"):
        train(store, pairs, tmp_path / "none", tiny_options(flip="on"))
    assert not (tmp_path / "none").exists()


def test_by_length_puts_queries_of_like_length_together():
    lengths = [1, 2, 3, 4, 5, 6] * 8
    asked = [Pair(tubelet("a", 0, length), Span("b", 0, 12), (), "1") for length in lengths]
    spread = {}
    for batching in ("mixed", "by_length"):
        draws = Draws(asked, batch_size=4, window=6, max_query=10, seed=0, batching=batching)
        batches = [[len(draw.pair.query.span) for draw in draws[step]] for step in range(12)]
        assert sorted(length for batch in batches for length in batch) == sorted(lengths)  # every pair once an epoch
        spread[batching] = sum(max(batch) - min(batch) for batch in batches)
    assert spread["by_length"] == 0 < spread["mixed"]


def test_a_board_shows_the_log(store, pairs, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is an extra that is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = tiny_options(tensorboard=True)
    with pytest.raises(Stopped):
        train(store, pairs, tmp_path / "run", options, report=stop_at(3))
    train(store, pairs, tmp_path / "run", options, resume=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("total")]
    assert shown == [(line["step"], pytest.approx(line["total"], rel=1e-5)) for line in logged(tmp_path / "run")]


def test_padding_at_least_to_the_asked_lengths(store):
    batch = collate([read_item(FeatureStore.open(store), pair("a", "b", stop=12))], least=(14, 8))
    assert batch.reference.shape[1] == 14
    assert batch.query.shape[1] == 8
    assert batch.reference_mask.sum() == 12


@pytest.mark.slow
def test_compiled_steps_learn_what_plain_ones_do(store, pairs, tmp_path):
    for compiled in (False, True):
        train(store, pairs, tmp_path / str(compiled), tiny_options(steps=2, compiled=compiled))
    for plain, compiled in zip(logged(tmp_path / "False"), logged(tmp_path / "True"), strict=True):
        assert compiled == pytest.approx(plain, rel=1e-3, abs=1e-4)
