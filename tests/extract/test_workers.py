"""Many workers make the same store as one, whatever happens to them."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import av
import pytest
import torch
from clock import Looks, Reader, run, tree, write_clocks, write_drift
from driven import start, without_leftovers, workers_of

from stvr.extract.flow import Flow
from stvr.store import FeatureStore, check_all

pytestmark = pytest.mark.alone


def test_three_workers_write_what_one_writes(tmp_path):
    videos = write_clocks(tmp_path, [9, 5, 7, 2, 6])
    run(videos, tmp_path / "one", Reader())
    steps = []
    report = run(videos, tmp_path / "three", Reader(tmp_path / "log"), workers=3, report=steps.append)
    assert report.done == [video.stem for video in videos]
    assert (report.clips_computed, len(Reader(tmp_path / "log").logged())) == (29, 29)
    assert tree(tmp_path / "three") == tree(tmp_path / "one")
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert (steps[-1].fraction, steps[-1].clips, steps[-1].num_videos) == (1, 29, 5)
    again = run(videos, tmp_path / "three", Reader(tmp_path / "log"), workers=2)
    assert (again.done, len(again.skipped), again.clips_reused) == ([], 5, 29)


class Deadly(Reader):
    """Kills its process with a signal when it sees a certain frame."""

    def __init__(self, number: int, cause: int, log: Path | None = None) -> None:
        super().__init__(log)
        self.number, self.cause = number, cause

    def __call__(self, frames):
        maps = super().__call__(frames)
        if self.number in (maps[:, 0, 0, 0] - len(frames)):
            os.kill(os.getpid(), self.cause)
        return maps


@pytest.mark.parametrize(("cause", "deaths"), [(signal.SIGSEGV, 2), (signal.SIGKILL, 5)])
def test_a_video_that_kills_its_workers_is_given_up_and_the_others_are_extracted(tmp_path, cause, deaths):
    videos = write_clocks(tmp_path, [2, 6, 3])
    report = run(videos, tmp_path / "store", Deadly(248 + 32, cause, tmp_path / "log"), workers=2)  # its fifth clip
    assert report.done == ["v00", "v02"]
    assert f"{deaths} of them died of {cause.name}" in report.failed["v01"]
    count = Counter(Reader(tmp_path / "log").logged())
    assert [count[248 + 8 * clip] for clip in range(6)] == [1, 1, 1, 1, deaths, deaths]  # only the open shard
    assert list(FeatureStore.open(tmp_path / "store").failed()) == (["v01"] if cause == signal.SIGSEGV else [])


class Broken(Reader):
    def __call__(self, frames):
        if frames.max() > 0:
            raise RuntimeError("out of memory")
        return super().__call__(frames)


def test_an_error_in_a_worker_ends_the_run(tmp_path):
    with pytest.raises(RuntimeError, match="out of memory"):
        run(write_clocks(tmp_path, [2, 2, 2]), tmp_path / "store", Broken(), workers=2)
    assert multiprocessing.active_children() == []


class TellsEnvironment(Reader):
    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        self.log.with_name("environment").write_text(os.environ.get("STVR_TEST", "nothing"))
        return super().__call__(frames)


def test_a_worker_has_the_environment_of_the_moment_it_is_started(tmp_path, monkeypatch):
    for value in ("first", "second"):
        monkeypatch.setenv("STVR_TEST", value)
        run(write_clocks(tmp_path, [2, 2]), tmp_path / value, TellsEnvironment(tmp_path / "log"), workers=2)
        assert (tmp_path / "environment").read_text() == value


def test_a_backbone_that_cannot_be_sent_is_refused(tmp_path):
    class Local(Reader):
        pass

    with pytest.raises(ValueError, match="cannot be sent to other processes"):
        run(write_clocks(tmp_path, [2, 2]), tmp_path / "store", Local(), workers=2)


def never_ends(pictures: torch.Tensor) -> torch.Tensor:
    """Stands for a decoder that hangs on white pictures: flow is computed in the decoding thread."""
    if pictures.mean() > 0.99:
        time.sleep(1000)
    return torch.zeros(*pictures[1:, 0].shape, 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_video_that_hangs_the_decoder_is_given_up_and_the_others_are_extracted(tmp_path, workers):
    with av.open(str(tmp_path / "white.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width = stream.height = 64
        for _ in range(16):
            white = torch.full((64, 64, 3), 255, dtype=torch.uint8).numpy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(white)))
        container.mux(stream.encode(None))
    videos = [write_drift(tmp_path / "a.mp4", 2), tmp_path / "white.mp4", write_drift(tmp_path / "b.mp4", 3)]
    options = {"flow": Flow("none that is known", 16, "torch", never_ends), "timeout": 5.0, "workers": workers}
    report = run(videos, tmp_path / "store", Looks(), **options)
    assert report.done == ["a", "b"]
    assert "white.mp4 hangs the decoder: there was no progress for 5 s" in report.failed["white"]
    start_time = time.monotonic()
    report = run(videos, tmp_path / "store", Looks(), **options)
    assert "An earlier run found this; --retry tries again" in report.failed["white"]
    assert workers > 1 or time.monotonic() - start_time < 4


def test_thirty_kills_of_four_workers_leave_what_an_undisturbed_run_leaves(tmp_path):
    """Every tenth kill ends the whole run with its workers; it is started again at once."""
    (tmp_path / "videos").mkdir()
    videos = write_clocks(tmp_path / "videos", [24, 18, 29, 21, 26, 17, 23, 28, 20, 25, 19, 22])
    run(videos, tmp_path / "undisturbed", Reader())
    chance, log, kills = random.Random(5), tmp_path / "log", 0
    process, reader = start(tmp_path / "videos", log, tmp_path / "store"), Reader(tmp_path / "log")
    try:
        while kills < 30:
            before = len(reader.logged())
            while len(reader.logged()) < before + chance.randint(1, 6) and process.poll() is None:
                time.sleep(0.002)
            time.sleep(chance.random() * 0.02)
            if process.poll() is not None:
                break
            if kills % 10 == 9:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                process = start(tmp_path / "videos", log, tmp_path / "store")
                kills += 1
            elif at_work := workers_of(process):
                os.kill(chance.choice(at_work), signal.SIGKILL)
                kills += 1
        assert process.wait(60) == 0
        assert process.stdout.read().split()[-1] == "0"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert kills == 30
    found = check_all(FeatureStore.open(tmp_path / "store"))
    assert (found.complete, found.faults, found.unfinished) == (12, (), ())
    assert without_leftovers(tree(tmp_path / "store")) == without_leftovers(tree(tmp_path / "undisturbed"))
    times = Counter(reader.logged())
    assert len(times) == 272
    assert sum(times.values()) - 272 <= 4 * (27 + 3 * 4)  # a killed worker costs one shard of 4 clips, a run four


def test_ctrl_c_leaves_no_worker_and_loses_no_shard(tmp_path):
    (tmp_path / "videos").mkdir()
    videos = write_clocks(tmp_path / "videos", [150, 150, 150])  # long enough that nothing ends before it is stopped
    process, reader = start(tmp_path / "videos", tmp_path / "log", tmp_path / "store", 2), Reader(tmp_path / "log")
    while len(reader.logged()) < 12:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) != 0
    time.sleep(0.5)
    assert workers_of(process) == []
    before = Counter(reader.logged())
    report = run(videos, tmp_path / "store", Reader(tmp_path / "log"))
    assert report.clips_reused + report.clips_computed == 450
    assert report.clips_computed <= 450 - sum(before.values()) + 2 * 4


def test_two_runs_with_two_workers_each_share_a_store_and_compute_no_clip_twice(tmp_path):
    (tmp_path / "videos").mkdir()
    videos = write_clocks(tmp_path / "videos", [9, 6, 11, 5, 8, 7])
    run(videos, tmp_path / "one", Reader())
    processes = [start(tmp_path / "videos", tmp_path / "log", tmp_path / "store", 2) for _ in range(2)]
    counts = [[int(count) for count in process.communicate(timeout=60)[0].split()] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(done for done, _, _ in counts) == 6
    assert all(done + skipped == 6 for done, skipped, _ in counts), counts
    assert Counter(Reader(tmp_path / "log").logged()).most_common(1)[0][1] == 1
    assert tree(tmp_path / "store") == tree(tmp_path / "one")
