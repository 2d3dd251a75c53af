"""A store in a bucket equals one in a folder, bit for bit. Tested against moto, a local S3 server."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from clock import Reader, run, tree, write_clock, write_clocks
from driven import start, without_leftovers, workers_of

from stvr.extract.extractor import Extractor
from stvr.extract.repair import repair
from stvr.extract.todo import Outcome
from stvr.store import FeatureStore, check_all
from stvr.store.claims import BucketClaim, Claimed, kept
from stvr.store.places import objects, place_at
from stvr.structures import Span
from stvr.video.source import BucketFile, fetched, files_at, sweep


def bucket_tree(url: str) -> dict[str, bytes]:
    place = place_at(url)
    keys = (each["path"] for part in place._objects.list() for each in part)
    return {key: place.read(key) for key in keys}


def test_a_store_in_a_bucket_equals_the_one_in_a_folder(tmp_path, url):
    videos = write_clocks(tmp_path, [9, 5])
    run(videos, tmp_path / "folder", Reader())
    report = run(videos, url, Reader(tmp_path / "log"))
    assert (report.done, report.clips_computed) == (["v00", "v01"], 14)
    assert bucket_tree(url) == tree(tmp_path / "folder")
    store, folder = FeatureStore.open(url), FeatureStore.open(tmp_path / "folder")
    assert store.videos() == ["v00", "v01"]
    assert torch.equal(store.read(Span("v00", 2, 9)), folder.read(Span("v00", 2, 9)))
    assert str(FeatureStore.open(Path(url))) == url  # pathlib takes a slash away
    assert run(videos, url, Reader(tmp_path / "log")).skipped == ["v00", "v01"]
    assert len(Reader(tmp_path / "log").logged()) == 14
    with pytest.raises(FileNotFoundError, match="there is no feature store at s3://bucket/none"):
        FeatureStore.open("s3://bucket/none")


def test_what_is_broken_in_a_bucket_is_made_again(tmp_path, url):
    videos = write_clocks(tmp_path, [9, 5])
    run(videos, url, Reader())
    good, place = bucket_tree(url), place_at(url)
    place.delete("v00/features/c/1/0/0/0/0")
    place.write("v01/features/zarr.json", b"{")
    store = FeatureStore.open(url)
    found = check_all(store)
    assert [(fault.video, fault.shard) for fault in found.faults] == [("v00", 1), ("v01", None)]
    report = repair(store, found, videos, lambda precision: Reader())
    assert (sorted(report.done), report.clips_computed) == (["v00", "v01"], 4 + 5)
    assert bucket_tree(url) == good


def test_a_file_that_fails_is_noted_in_the_bucket(tmp_path, url):
    (tmp_path / "bad.mp4").write_text("no video")
    run([tmp_path / "bad.mp4"], url, Reader())
    assert "cannot be read as a video" in FeatureStore.open(url).failed()["bad"]


@pytest.mark.alone
def test_a_lease_in_a_bucket_holds_until_it_runs_out(url):
    objects = place_at(url)._objects
    first = BucketClaim(objects, ".claims/a", 60)
    with pytest.raises(Claimed, match=f"'a' is being written by process {os.getpid()} on "):
        BucketClaim(objects, ".claims/a", 60)
    time.sleep(1.1)  # S3 dates to the second
    second = BucketClaim(objects, ".claims/a", 0.05)
    second.check()
    first.renew()
    with pytest.raises(Claimed, match="another process, which took over"):
        first.check()
    first.release()
    with pytest.raises(Claimed):  # the lease of the other was not removed
        BucketClaim(objects, ".claims/a", 60)
    second.release()
    with kept(BucketClaim(objects, ".claims/a", 0.4), 0.4) as third:
        time.sleep(0.5)
        third.check()
    assert bucket_tree(url) == {}


@pytest.mark.alone
def test_kills_of_four_workers_on_a_bucket_leave_what_an_undisturbed_run_leaves(tmp_path, url):
    (tmp_path / "videos").mkdir()
    videos = write_clocks(tmp_path / "videos", [12, 9, 14, 10, 13, 8, 11, 14, 10, 12, 9, 11])
    run(videos, tmp_path / "undisturbed", Reader())
    chance, log, kills = random.Random(7), tmp_path / "log", 0
    process, reader = start(tmp_path / "videos", log, url), Reader(log)
    try:
        while kills < 30 and process.poll() is None:
            before, since = len(reader.logged()), time.monotonic()
            while len(reader.logged()) < before + chance.randint(1, 3) and time.monotonic() - since < 2:
                time.sleep(0.01)
            if kills % 10 == 9:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                process = start(tmp_path / "videos", log, url)
                kills += 1
            elif at_work := workers_of(process):
                os.kill(chance.choice(at_work), signal.SIGKILL)
                kills += 1
        assert process.wait(120) == 0
        assert process.stdout.read().split()[-1] == "0"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert kills == 30
    found = check_all(FeatureStore.open(url))
    assert (found.complete, found.faults, found.unfinished) == (12, (), ())
    assert without_leftovers(bucket_tree(url)) == without_leftovers(tree(tmp_path / "undisturbed"))


def test_the_commands_take_the_address_of_a_bucket(tmp_path, url, stvr):
    write_clock(tmp_path / "a.mp4", 3)
    words = ("extract", tmp_path / "a.mp4", "--store", url, "--image-size", 64, "--endpoint", "Conv3d_1a_7x7")
    assert stvr(*words).status == 0
    assert stvr("verify", url).out == f"{url}: 1 complete videos, 0 faults\n"
    assert '"clips": 3' in stvr("info", url).out


def put(url: str, *videos: Path) -> list[str]:
    """Uploads the videos below the prefix of `url`; their addresses."""
    root, _, prefix = url.removeprefix("s3://").partition("/")
    keys = [f"{prefix}/videos/{video.name}" for video in videos]
    for key, video in zip(keys, videos, strict=True):
        objects(f"s3://{root}").put(key, video.read_bytes())
    return [f"s3://{root}/{key}" for key in keys]


def without_origin(files: dict[str, bytes]) -> dict[str, bytes | dict]:
    """The same files without the record of where the video came from."""
    parsed = {name: json.loads(text) if name.endswith("zarr.json") else text for name, text in files.items()}
    for name in parsed:
        if name.endswith("zarr.json"):
            parsed[name].get("attributes", {}).get("stvr", {}).pop("object", None)
    return parsed


def copies() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"stvr-video-*-{os.getpid()}-*"))


def never(file):
    raise AssertionError(f"{file} was fetched")


def test_videos_in_a_bucket_give_the_same_store_as_local_files(tmp_path, url, monkeypatch):
    videos = write_clocks(tmp_path, [9, 5])
    put(url, *videos)
    bucket = f"{url}/made"
    run(videos, tmp_path / "local", Reader())
    named = files_at(f"{url}/videos/", {".mp4"})
    assert [(file.stem, file.size) for file in named] == [(file.stem, file.stat().st_size) for file in videos]
    for store, workers in ((tmp_path / "one", 1), (tmp_path / "two", 2), (bucket, 1)):
        report = run(named, store, Reader(), workers=workers)
        assert (report.done, report.failed, report.clips_computed) == (["v00", "v01"], {}, 14)
        made = bucket_tree(bucket) if store == bucket else tree(store)
        assert without_origin(made) == without_origin(tree(tmp_path / "local"))
    assert copies() == []
    assert FeatureStore.open(tmp_path / "one").info("v00")["object"]["url"] == named[0].url
    assert run(named, tmp_path / "local", Reader()).skipped == ["v00", "v01"]  # the same bytes
    monkeypatch.setattr("stvr.video.copies.fetched", never)
    assert run(named, tmp_path / "one", Reader()).skipped == ["v00", "v01"]  # the same etag


def test_objects_below_a_prefix_are_found_as_files_below_a_folder(tmp_path, url):
    names = ("a.mp4", "day1/b.mp4", "day1/deep/c.MP4", ".trash/d.mp4", "day1/._b.mp4", "notes.txt")
    for name in names:
        objects(url).put(f"videos/{name}", b"film")
    objects(url).put("videos2/e.mp4", b"film")  # beside the prefix
    found = [file.url.removeprefix(f"{url}/") for file in files_at(f"{url}/videos", {".mp4"})]
    assert found == ["videos/a.mp4", "videos/day1/b.mp4", "videos/day1/deep/c.MP4"]


def test_another_object_of_the_same_name_is_refused(tmp_path, url):
    (video,) = write_clocks(tmp_path, [3])
    (name,) = put(url, video)
    assert run([name], tmp_path / "store", Reader()).done == ["v00"]
    put(url, write_clock(video, 4))
    assert "made from another file" in run([name], tmp_path / "store", Reader()).failed["v00"]


def test_an_object_that_is_missing_or_not_a_video_does_not_stop_the_others(tmp_path, url):
    videos = write_clocks(tmp_path, [3])
    (tmp_path / "bad.mp4").write_text("no video")
    good, bad = put(url, *videos, tmp_path / "bad.mp4")
    missing = f"{url}/videos/missing.mp4"
    report = run([missing, bad, good], tmp_path / "store", Reader(), workers=2)
    assert report.done == ["v00"]
    assert report.failed["missing"] == f"{missing} cannot be read: no such object or bucket."
    assert report.failed["bad"].startswith(f"{bad} cannot be read as a video")
    store = FeatureStore.open(tmp_path / "store")
    assert store.failed() == {"bad": report.failed["bad"]}
    assert copies() == []


def test_a_video_that_another_run_is_writing_is_not_fetched(tmp_path, url, monkeypatch):
    (name,) = put(url, *write_clocks(tmp_path, [3]))
    run([tmp_path / "v00.mp4"], f"{url}/made", Reader())
    store = FeatureStore.open(f"{url}/made")
    store.reopen("v00")
    claim = store.place.claim("v00", 60)
    monkeypatch.setattr("stvr.video.copies.fetched", never)
    (outcome,) = Extractor(store, Reader())("v00", BucketFile(name))
    assert isinstance(outcome, Outcome)
    assert outcome.claimed
    claim.release()


def test_a_copy_is_deleted_however_its_process_ends(tmp_path, url):
    (name,) = put(url, *write_clocks(tmp_path, [3]))
    copy = fetched(BucketFile(name))
    path, _ = copy.__enter__()
    assert path.read_bytes() == (tmp_path / "v00.mp4").read_bytes()
    sweep()
    assert path.exists()  # its process, this one, still runs
    fault = RuntimeError("out of memory")
    assert not copy.__exit__(RuntimeError, fault, None)
    assert not path.parent.exists()
    killed = ("import os, sys; from stvr.video.source import BucketFile, fetched\n"
              "with fetched(BucketFile(sys.argv[1])) as (path, _): print(path, flush=True); os.kill(os.getpid(), 9)")
    left = Path(subprocess.run([sys.executable, "-c", killed, name], stdout=subprocess.PIPE, text=True).stdout.strip())
    assert left.exists()
    sweep()
    assert not left.parent.exists()


def test_the_command_takes_objects_prefixes_and_files_together(tmp_path, url, stvr, monkeypatch):
    one, two, three = (write_clock(tmp_path / f"{name}.mp4", 2) for name in "abc")
    put(url, one)
    put(f"{url}/more", two)
    words = ("--store", tmp_path / "store", "--image-size", 64, "--endpoint", "Conv3d_1a_7x7")
    result = stvr("extract", f"{url}/videos/", f"{url}/more/videos/b.mp4", three, *words)
    assert (result.status, "3 videos extracted" in result.out) == (0, True), result.err
    result = stvr("extract", f"{url}/videos/x.mp4", *words)
    assert result.status == 1
    assert f"stvr: {url}/videos/x.mp4 cannot be read: no such object or bucket.\n" in result.err
    result = stvr("extract", f"{url}/none/", *words)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert f"no video file in {url}/none/" in result.err
    place_at(f"{tmp_path}/store").delete("a/features/c/0/0/0/0/0")
    result = stvr("repair", tmp_path / "store", f"{url}/videos/")
    assert (result.status, "1 videos repaired" in result.out) == (0, True), result.err
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    result = stvr("extract", f"{url}/videos/", *words)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert f"stvr: {url}/videos/ cannot be listed: " in result.err


def test_a_bucket_that_is_out_of_reach_is_reported_in_one_line(stvr, url, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    result = stvr("info", url)
    assert result.status == 2
    assert len(result.err.strip().splitlines()) == 1
    assert result.err.startswith("stvr: the bucket cannot be read or written: ")
    assert "AWS_" in result.err
