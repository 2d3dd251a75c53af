"""A process that runs the backbone for all workers, as on a GPU: the same store, whatever happens to any of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from dataclasses import replace

import pytest
import torch
from clock import CLIP, Reader, TwoMaps, quiet, run, tree, write_clocks, write_rounding_weights
from driven import start, workers_of

from stvr.backbones import load_backbone
from stvr.extract import workers
from stvr.extract.job import extract
from stvr.store import FeatureStore
from stvr.structures import Span

pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
def always_shared(monkeypatch):
    """As if every backbone were on a GPU."""
    monkeypatch.setattr(workers, "is_shared", lambda backbone: True)


@pytest.mark.parametrize("backbone", [Reader, TwoMaps])
def test_three_workers_and_a_device_process_write_what_one_process_writes(tmp_path, backbone):
    videos = write_clocks(tmp_path, [9, 5, 7, 2, 6])
    run(videos, tmp_path / "one", backbone())
    report = run(videos, tmp_path / "three", backbone(tmp_path / "log"), workers=3)
    assert report.done == [video.stem for video in videos]
    assert tree(tmp_path / "three") == tree(tmp_path / "one")
    assert sorted(Counter(backbone(tmp_path / "log").logged()).values())[-1] == 1  # no clip twice
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("context", ["clip", "video"])
def test_i3d_with_mirrored_views_has_the_same_bits(tmp_path, context):
    videos = write_clocks(tmp_path, [9, 5, 7])
    weights = write_rounding_weights(tmp_path / "weights.safetensors")
    clip = replace(CLIP, context=context, cuts="keep" if context == "video" else "ignore")
    for name, several in (("one", 1), ("two", 2)):
        backbone = load_backbone("i3d", weights, "Mixed_3b,Mixed_4c.mean")
        extract(videos, tmp_path / name, backbone, clip, batch_size=3, clips_per_shard=4, flip=True, workers=several,
                report=quiet)  # fmt: skip
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


class Failing(Reader):
    """Fails at a clip whose first frame shows a certain number; how is up to `fail`."""

    def __init__(self, log, number: int, fail) -> None:
        super().__init__(log)
        self.number, self.fail = number, fail

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        maps = super().__call__(frames)
        return self.fail(maps) if (maps[:, 0, 0, 0, 0] - len(frames) == self.number).any() else maps


def raises(maps):
    raise RuntimeError("out of memory")


def dies(maps):
    os.kill(os.getpid(), signal.SIGKILL)


def not_finite(maps):
    return maps / 0


@pytest.mark.parametrize(("fail", "message"), [(raises, "out of memory"), (dies, "ran the backbone on cpu has died")])
def test_a_device_process_that_fails_ends_the_run_with_the_reason_and_the_next_run_goes_on(tmp_path, fail, message):
    videos = write_clocks(tmp_path, [9, 5, 6])
    run(videos, tmp_path / "one", Reader())
    with pytest.raises(RuntimeError, match=message):
        run(videos, tmp_path / "store", Failing(tmp_path / "log", 8 + 8 * 8, fail), workers=2)
    assert multiprocessing.active_children() == []
    report = run(videos, tmp_path / "store", Reader(), workers=2)
    assert report.failed == {}
    assert report.clips_reused >= 4  # a shard of the video that was cut short
    assert FeatureStore.open(tmp_path / "store").videos() == FeatureStore.open(tmp_path / "one").videos()


def test_features_that_are_not_finite_fail_their_video_alone(tmp_path):
    videos = write_clocks(tmp_path, [2, 6, 3])
    report = run(videos, tmp_path / "store", Failing(tmp_path / "log", 8 + 240, not_finite), workers=2)
    assert report.done == ["v00", "v02"]
    assert "not finite in float16" in report.failed["v01"]


def whole(store: FeatureStore, video: str) -> torch.Tensor:
    return store.read(Span(video, 0, store.num_clips(video)))


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(tmp_path):
    (tmp_path / "videos").mkdir()
    videos = write_clocks(tmp_path / "videos", [24, 18, 29, 21])
    run(videos, tmp_path / "undisturbed", Reader())
    killed = []

    def kill(step):
        if len(killed) < 4 and step.clips > 12 * len(killed):
            _device, *at_work = sorted(child.pid for child in multiprocessing.active_children())  # it is the oldest
            killed.append(at_work[-1])
            os.kill(at_work[-1], signal.SIGKILL)

    report = run(videos, tmp_path / "store", Reader(tmp_path / "log", seconds=0.01), workers=3, report=kill)
    assert len(killed) == 4  # a video whose worker dies five times in a row is given up
    assert report.done == [video.stem for video in videos]
    for video in report.done:
        one, other = (whole(FeatureStore.open(tmp_path / name), video) for name in ("undisturbed", "store"))
        assert torch.equal(one, other)


def test_nothing_is_left_when_the_whole_run_is_killed(tmp_path):
    (tmp_path / "videos").mkdir()
    write_clocks(tmp_path / "videos", [150, 150, 150])
    process = start(tmp_path / "videos", tmp_path / "log", tmp_path / "store", 2, shared=True)
    while len(Reader(tmp_path / "log").logged()) < 12:
        assert process.poll() is None
        time.sleep(0.01)
    at_work = workers_of(process)
    assert len(at_work) == 3  # two workers and the device process
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while workers_of(process) and time.monotonic() < until:
        time.sleep(0.05)
    assert workers_of(process) == []
