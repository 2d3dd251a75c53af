"""Videos end up in the store whole and once, whatever happens on the way."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from barcode import nearest, number_in, paint, write_video
from clock import CLIP, Looks, Reader, TwoMaps, run, write_clock, write_drift

from stvr.extract import extractor
from stvr.extract.ahead import ahead
from stvr.extract.flow import load_flow
from stvr.extract.pace import Step, shown
from stvr.store import FeatureStore
from stvr.structures import Span
from stvr.video.decode import decode_clips


def test_features_and_timestamps_belong_to_the_frames(tmp_path):
    video = write_video(tmp_path / "video.mp4", range(60), Fraction(1, 30), 1)
    report = run([video], tmp_path / "store", Reader())
    assert (report.done, report.clips_computed, report.clips_reused) == (["video"], 6, 0)
    store = FeatureStore.open(tmp_path / "store")
    expected = np.array(nearest([Fraction(n, 30) for n in range(60)], Fraction(2), 24)).reshape(6, 8)
    maps = store.read(Span("video", 0, 6))
    assert maps.shape == (6, 3, 4, 2, 8)  # clip, row, column, time, channel
    sizes = torch.tensor([3, 3, 3, 1, 2, 2])  # batches of at most 3, begun anew at each shard of 4
    np.testing.assert_array_equal(maps[:, 0, 0, 0], (torch.tensor(expected) + sizes[:, None]).half())
    assert maps[0, 2, 1, 1, 0] == 0 + 20 + 1 / 8 + 1 + 3
    seconds = store.ticks("video") * Fraction(store.info("video")["time_base"])
    assert seconds.tolist() == [[Fraction(number, 30) for number in clip] for clip in expected.tolist()]
    info = store.info("video")
    assert (info["width"], info["height"], info["duration_seconds"]) == (64, 64, 2.0)
    assert (info["source"], info["num_clips"], info["decode_errors"]) == ("video.mp4", 6, 0)


def test_a_second_run_computes_nothing(tmp_path):
    video, reader = write_clock(tmp_path / "video.mp4", 5), Reader(tmp_path / "log")
    run([video], tmp_path / "store", reader)
    report = run([video], tmp_path / "store", reader)
    assert (report.done, report.skipped) == ([], ["video"])
    assert (report.clips_computed, report.clips_reused) == (0, 5)
    assert reader.logged() == [8, 16, 24, 32, 40]


def test_a_video_that_cannot_be_extracted_does_not_stop_the_others(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    videos = [
        write_clock(tmp_path / "first.mp4", 2),
        tmp_path / "text.mp4",
        tmp_path / "empty.mp4",
        tmp_path / "missing.mp4",
        write_video(tmp_path / "short.mp4", range(7), Fraction(1, 24), 1),
        write_clock(tmp_path / "last.mp4", 2),
    ]
    report = run(videos, tmp_path / "store", Reader())
    assert report.done == ["first", "last"]
    assert list(report.failed) == ["text", "empty", "missing", "short"]
    for name, reason in report.failed.items():
        assert str(tmp_path / f"{name}.mp4") in reason
    assert FeatureStore.open(tmp_path / "store").videos() == ["first", "last"]
    write_clock(tmp_path / "text.mp4", 2)  # a good file in its place is extracted
    assert run([tmp_path / "text.mp4"], tmp_path / "store", Reader()).done == ["text"]


def test_files_of_one_name_are_called_by_their_folders_and_two_in_one_folder_are_refused(tmp_path):
    for place in ("day1", "day2"):
        (tmp_path / place).mkdir()
        write_clock(tmp_path / place / "a.mp4", 2)
    write_clock(tmp_path / "day2/b.mp4", 2)
    files = [tmp_path / "day1/a.mp4", tmp_path / "day2/a.mp4", tmp_path / "day2/b.mp4"]
    for _ in range(2):
        report = run(files, tmp_path / "store", Reader())
        assert {*report.done, *report.skipped} == {"day1/a", "day2/a", "b"}
    assert FeatureStore.open(tmp_path / "store").videos() == ["b", "day1/a", "day2/a"]
    with pytest.raises(ValueError, match=r"a\.mp4 and .*day1/a\.mkv would both be called 'a'"):
        run([files[0], tmp_path / "day1/a.mkv"], tmp_path / "store", Reader())


def test_another_file_with_a_name_that_is_in_the_store_is_refused(tmp_path):
    video = write_clock(tmp_path / "video.mp4", 2)
    run([video], tmp_path / "store", Reader())
    write_clock(video, 2, first_number=800)
    report = run([video], tmp_path / "store", Reader())
    assert "made from another file: video.mp4 with digest" in report.failed["video"]


def test_a_store_of_another_backbone_is_refused(tmp_path):
    video, other = write_clock(tmp_path / "video.mp4", 2), Reader()
    run([video], tmp_path / "store", Reader())
    other.endpoint = "Mixed_4c"
    with pytest.raises(ValueError, match="endpoint is 'bars', not 'Mixed_4c'"):
        run([video], tmp_path / "store", other)


@pytest.mark.parametrize("engine", ["local", "ray"])
@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_worker_are_refused_before_anything_is_written(tmp_path, workers, engine):
    video = write_clock(tmp_path / "video.mp4", 2)
    with pytest.raises(ValueError, match=f"^{workers} workers extract nothing. Give 1 or more.$"):
        run([video], tmp_path / "store", Reader(), workers=workers, engine=engine)
    assert not (tmp_path / "store").exists()


def test_features_that_do_not_fit_float16_are_refused(tmp_path):
    video = write_clock(tmp_path / "video.mp4", 2)
    report = run([video], tmp_path / "store", Loud())
    assert "not finite in float16" in report.failed["video"]


def test_the_flow_of_every_clip_is_from_the_last_frame_before_it_to_its_own_last(tmp_path):
    """The store has the flow of the decoded frames; one pixel a frame is one cell of 8 pixels a clip."""
    video, flow = write_drift(tmp_path / "video.mp4", 6), load_flow("ilk", 64)
    run([video], tmp_path / "store", Looks(), flow=flow)
    store = FeatureStore.open(tmp_path / "store")
    assert (store.spec.flow, store.spec.flipped) == ("ilk at 64 px", False)
    stored = store.read_flow(Span("video", 0, 6)).numpy()
    clips = [frames for _, frames, _ in decode_clips(video, CLIP)]
    for number, frames in enumerate(clips):
        before = clips[number - 1][-1] if number else None
        np.testing.assert_array_equal(stored[number], flow(before, frames, (8, 8)))
    inside = stored[:, 2:-2, 2:-2].astype(float)
    assert np.abs(inside[1:].mean((0, 1, 2)) - (0, 1)).max() < 0.1
    assert np.abs(inside[0].mean((0, 1)) - (0, 7 / 8)).max() < 0.1


def test_a_continued_extraction_has_the_flow_of_an_unbroken_one_bit_for_bit(tmp_path):
    video, options = write_drift(tmp_path / "video.mp4", 11), {"flow": load_flow("ilk", 64), "flip": True}
    run([video], tmp_path / "unbroken", Looks(), **options)
    for _ in range(2):
        broken = Looks()
        broken.fails_at = 12  # it sees two black clips, then four a shard in each view: the second shard fails
        with pytest.raises(RuntimeError, match="out of memory"):
            run([video], tmp_path / "store", broken, **options)
    report = run([video], tmp_path / "store", Looks(), **options)
    assert (report.clips_reused, report.clips_computed) == (8, 3)
    store, unbroken = (FeatureStore.open(tmp_path / name) for name in ("store", "unbroken"))
    span = Span("video", 0, 11)
    assert torch.equal(store.read_flow(span), unbroken.read_flow(span))
    assert torch.equal(store.read(span), unbroken.read(span))
    assert torch.equal(store.read(span, flipped=True), unbroken.read(span, flipped=True))


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_the_backbone_is_fed_what_the_spec_says(tmp_path, order):
    """The left half of the picture is red, and the right half of its mirror image."""
    video = write_drift(tmp_path / "video.mp4", 2)
    run([video], tmp_path / "store", Looks(), flip=True, colour_order=order)
    store = FeatureStore.open(tmp_path / "store")
    assert (store.spec.colour_order, store.spec.flipped) == (order, True)
    maps, mirrored = (store.read(Span("video", 0, 2), flipped=view).float() for view in (False, True))
    red, blue = order.index("R"), order.index("B")
    for view, left, right in ((maps, red, blue), (mirrored, blue, red)):
        assert (view[:, :, 1:3, :, left] - view[:, :, 1:3, :, right]).min() > 20
        assert (view[:, :, 5:7, :, right] - view[:, :, 5:7, :, left]).min() > 20
    assert torch.equal(mirrored, maps.flip(2))  # only block means can be mirrored afterwards


def test_flipped_features_are_those_of_mirrored_frames(tmp_path):
    """A reader of bar codes reads other numbers in a mirror."""
    run([write_clock(tmp_path / "video.mp4", 3)], tmp_path / "store", Reader(), flip=True)
    maps = FeatureStore.open(tmp_path / "store").read(Span("video", 0, 3), flipped=True)
    expected = [number_in(paint(number)[:, ::-1]) for number in range(8, 32)]
    np.testing.assert_array_equal(maps[:, 0, 0, 0].flatten(), np.array(expected, np.float16) + 3)


@pytest.mark.parametrize("option", [{"colour_order": "GBR"}, {"resize": "nearest"}])
def test_an_unknown_colour_order_or_resize_is_answered_with_the_menu(tmp_path, option):
    with pytest.raises(LookupError, match="Choose one of "):
        run([tmp_path / "video.mp4"], tmp_path / "store", Looks(), **option)
    assert not (tmp_path / "store").exists()


class Loud(Reader):
    def __call__(self, frames):
        return super().__call__(frames) * (1.0 if frames.max() == 0 else 1e5)


class Fails(Reader):
    def __call__(self, frames):
        if len(self.logged()) >= 6:
            raise RuntimeError("out of memory")
        return super().__call__(frames)


def test_when_the_network_fails_the_run_ends_and_the_next_one_goes_on(tmp_path):
    video, threads = write_clock(tmp_path / "video.mp4", 20), threading.active_count()
    with pytest.raises(RuntimeError, match="out of memory"):
        run([video], tmp_path / "store", Fails(tmp_path / "log"))
    assert threading.active_count() <= threads + 1  # zarr keeps one
    report = run([video], tmp_path / "store", Reader(tmp_path / "log"))
    assert (report.done, report.clips_computed, report.clips_reused) == (["video"], 16, 4)


def test_decoding_runs_ahead_but_not_far(tmp_path):
    items = []

    def count():
        for number in range(10):
            items.append(number)
            yield number

    ready = ahead(count(), 2)
    assert next(ready) == 0
    time.sleep(0.05)
    assert items == [0, 1, 2]
    assert list(ready) == list(range(1, 10))


def test_an_error_in_the_decoding_thread_is_raised(tmp_path):
    def breaks():
        yield 1
        raise OSError("disk gone")

    ready = ahead(breaks(), 2)
    assert next(ready) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(ready)


def test_progress_never_goes_back_and_ends_at_the_end(tmp_path, capsys):
    videos, steps = [write_clock(tmp_path / f"{name}.mp4", 6) for name in "ab"], []
    run(videos, tmp_path / "store", Reader(), report=steps.append)
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert [steps[-1].clips, steps[-1].number, steps[-1].num_videos] == [12, 2, 2]
    with shown(every_seconds=0) as tell:  # standard error is not a terminal here
        tell(Step("a", 1, 2, clips=30, fraction=0.25, seconds=10.0, seconds_left=30.0))
    captured = capsys.readouterr()
    assert captured.err == " 25% 1/2 a  30 clips  3.0 clips/s  0:00:30 left\n"
    assert captured.out == ""


def extract_slowly(videos: list[Path], store: Path, log: Path, backbone: type[Reader] = Reader) -> None:
    torch.set_num_threads(1)
    run(videos, store, backbone(log, seconds=0.02))


@pytest.mark.parametrize("backbone", [Reader, TwoMaps])
def test_a_run_killed_at_any_moment_and_started_again_ends_as_if_undisturbed(tmp_path, backbone):
    videos = [write_clock(tmp_path / "a.mp4", 30), write_clock(tmp_path / "b.mp4", 21, first_number=512)]
    run(videos, tmp_path / "undisturbed", backbone())
    forks, chance = multiprocessing.get_context("forkserver"), random.Random(3)
    forks.set_forkserver_preload(["stvr.extract.job"])
    logs = []
    for kill in range(6):
        log = tmp_path / f"log{kill}"
        reader = Reader(log)
        process = forks.Process(target=extract_slowly, args=(videos, tmp_path / "store", log, backbone))
        process.start()
        if kill < 5:
            enough = chance.randint(3, 12)
            while len(reader.logged()) < enough and process.is_alive():
                time.sleep(0.002)
            time.sleep(chance.random() * 0.03)
            os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        assert process.exitcode == (-signal.SIGKILL if kill < 5 else 0)
        logs.append(reader.logged())

    store, undisturbed = (FeatureStore.open(tmp_path / name) for name in ("store", "undisturbed"))
    for name, num_clips in (("a", 30), ("b", 21)):
        span = Span(name, 0, num_clips)
        for endpoint in store.spec.endpoints:
            maps = (each.read(span, endpoint=endpoint).numpy() for each in (store, undisturbed))
            np.testing.assert_array_equal(*maps)
        np.testing.assert_array_equal(store.ticks(name), undisturbed.ticks(name))
    assert set().union(*logs) == {*range(8, 8 + 240, 8), *range(512, 512 + 168, 8)}
    shard = {number: (video, index // 4) for video, first in (("a", 8), ("b", 512)) for index, number in
             enumerate(range(first, first + 240, 8))}  # fmt: skip
    for run_number, log in enumerate(logs):
        again = set(log) & set().union(*logs[run_number + 1 :])
        assert len({shard[number] for number in again}) <= 1  # the one that was open at the kill
        assert max(Counter(log).values()) == 1
    assert sum(map(len, logs)) > 51  # so the kills did hit open shards


def test_two_runs_on_one_store_do_not_write_one_video_twice(tmp_path):
    video = write_clock(tmp_path / "a.mp4", 12)
    forks = multiprocessing.get_context("forkserver")
    process = forks.Process(target=extract_slowly, args=([video], tmp_path / "store", tmp_path / "log"))
    process.start()
    while not Reader(tmp_path / "log").logged():
        time.sleep(0.002)
    other = write_clock(tmp_path / "b.mp4", 2)
    reader = Reader(tmp_path / "mine")
    report = run([video, other], tmp_path / "store", reader)
    assert (report.done, report.skipped) == (["b"], ["a"])  # it did the other video first, then waited for this one
    assert reader.logged() == [8, 16]
    process.join(60)
    assert process.exitcode == 0
    assert "a" in FeatureStore.open(tmp_path / "store")


def test_a_video_that_another_run_completes_after_this_one_looked_is_skipped(tmp_path, monkeypatch):
    video, probe = write_clock(tmp_path / "a.mp4", 5), extractor.probe

    def meanwhile(*words):
        monkeypatch.setattr(extractor, "probe", probe)
        assert run([video], tmp_path / "store", Reader()).done == ["a"]
        return probe(*words)

    monkeypatch.setattr(extractor, "probe", meanwhile)
    reader = Reader(tmp_path / "mine")
    report = run([video], tmp_path / "store", reader)
    assert (report.done, report.skipped, report.failed) == ([], ["a"], {})
    assert reader.logged() == []
