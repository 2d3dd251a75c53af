"""With weights whose sums round, a store is the same bit for bit, whatever the workers, threads, batches and kills."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from clock import run, tree, write_drift, write_rounding_weights

from stvr.backbones import Backbone, has_bfloat16, load_backbone
from stvr.extract.repair import repair
from stvr.store import FeatureStore, check_all
from stvr.structures import Span

ELSEWHERE = {"processor": "aarch64 SVE256"}  # as a video's notes would have it
THEIRS = f"torch {version('torch')} on the processor aarch64 SVE256"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_rounding_weights(tmp_path_factory.mktemp("weights") / "made.safetensors")


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    return [write_drift(folder / "a.mp4", 11), write_drift(folder / "b.mp4", 6)]


@pytest.fixture(scope="module", params=["float32", *["bfloat16"] * has_bfloat16(torch.device("cpu"))])
def backbone(request, weights) -> Backbone:
    """In bfloat16 where it is native alone: elsewhere a clip takes seconds."""
    return load_backbone(weights=weights, precision=request.param)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, videos, backbone) -> Path:
    """The store that one worker of one thread leaves, in batches of 3 and shards of 4 clips."""
    path, threads = tmp_path_factory.mktemp("stores") / "undisturbed", torch.get_num_threads()
    torch.set_num_threads(1)
    run(videos, path, backbone)
    torch.set_num_threads(threads)
    return path


@pytest.fixture
def store(tmp_path, undisturbed) -> Path:
    """A copy that may be damaged."""
    return shutil.copytree(undisturbed, tmp_path / "store")


def clips_of(store: Path) -> dict[str, bytes]:
    """All that is kept of the clips; not the notes, which have the batch size."""
    return {name: content for name, content in tree(store).items() if "/c/" in name}


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 8), (2, 1)])
def test_workers_threads_and_batches_leave_the_same_bits(
    tmp_path, videos, backbone, undisturbed, threads, workers, batch_size
):
    """One worker has two threads, for the short video alone: they wait for each other where other tests run beside."""
    threads(2)
    run(videos[-workers:], tmp_path / "store", backbone, workers=workers, batch_size=batch_size)
    clips, expected = clips_of(tmp_path / "store"), clips_of(undisturbed)
    assert len(clips) == 2 * (2 if workers == 1 else 3 + 2)  # features and ticks, of three shards and of two
    assert clips == {name: expected[name] for name in clips}


@pytest.mark.parametrize("backbone", ["float32"], indirect=True)
def test_a_cpu_that_can_do_less_stays_within_a_rounding(tmp_path, videos, weights, undisturbed):
    """AVX2 alone, against what this machine can do."""
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    words = ("extract", *videos, "--store", tmp_path / "store", "--image-size", 64, "--weights", weights,
             "--precision", "float32")
    subprocess.run([sys.executable, "-m", "stvr", *map(str, words)], env=environment, check=True, capture_output=True)
    here, there = (FeatureStore.open(path) for path in (undisturbed, tmp_path / "store"))
    assert "AVX2" in there.info("a")["processor"] or platform.machine() != "x86_64"
    ours, theirs = (opened.read(Span("a", 0, 11)).float() for opened in (here, there))
    assert (ours != theirs).float().mean() < 0.01
    assert (ours - theirs).abs().max() < 1e-3 * ours.max()


def extract_on_one_thread(videos: list[Path], store: Path, backbone: Backbone) -> None:
    torch.set_num_threads(1)
    run(videos, store, backbone)


def test_killed_and_gone_on_with_it_is_the_undisturbed_one(tmp_path, videos, backbone, undisturbed, threads):
    arguments = (videos, tmp_path / "store", backbone)
    process = multiprocessing.get_context("forkserver").Process(target=extract_on_one_thread, args=arguments)
    process.start()
    while not (tmp_path / "store/a/features/c/0/0/0/0/0").exists() and process.is_alive():
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    threads(1)
    report = run(videos, tmp_path / "store", backbone)
    assert report.clips_reused > 0
    assert report.clips_computed > 0
    assert report.mixed == {}
    assert {name: content for name, content in tree(tmp_path / "store").items() if ".partial" not in name} == tree(
        undisturbed)


def damage(store: Path, video: str, shard: int) -> None:
    path = store / f"{video}/features/c/{shard}/0/0/0/0"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def damage_whole(store: Path, video: str) -> None:
    path = store / video / "features/zarr.json"
    path.write_text(path.read_text().replace('"float16"', '"float32"'))


def repaired(store: Path, videos: list[Path], backbone: Backbone, workers: int = 1) -> dict[str, str]:
    """What is to be said of the videos that were broken, all of which are whole now."""
    opened = FeatureStore.open(store)
    report = repair(opened, check_all(opened), videos, lambda precision: backbone, workers=workers)
    assert report.failed == {}
    assert check_all(FeatureStore.open(store)).faults == ()
    return report.mixed


def test_repair_restores_the_very_bytes(videos, backbone, undisturbed, store, threads):
    damage(store, "a", 1)
    damage_whole(store, "b")
    threads(1)
    assert repaired(store, videos, backbone, workers=2) == {}
    assert tree(store) == tree(undisturbed)


def edit_notes(store: Path, video: str, **notes: str | None) -> None:
    """None takes a note out."""
    path = store / video / "zarr.json"
    values = json.loads(path.read_text())
    ours = values["attributes"]["stvr"] | notes
    values["attributes"]["stvr"] = {name: value for name, value in ours.items() if value is not None}
    path.write_text(json.dumps(values))


def test_a_repair_says_which_shards_another_processor_has_made(videos, backbone, undisturbed, store):
    for video in "ab":
        edit_notes(store, video, **ELSEWHERE)
    damage(store, "a", 1)
    damage_whole(store, "b")
    mixed = repaired(store, videos, backbone)
    assert f"shards by {THEIRS}, whose last bits may differ" in mixed["a"]
    assert f"made before by {THEIRS}: last bits may differ" in mixed["b"]
    opened = FeatureStore.open(store)
    assert opened.info("a")["also_computed_by"] == [THEIRS]
    assert opened.info("b") == FeatureStore.open(undisturbed).info("b")
    damage(store, "a", 2)
    assert list(repaired(store, videos, backbone)) == ["a"]  # it is still mixed


def test_an_extraction_that_goes_on_with_another_processors_video_says_so(videos, backbone, store):
    edit_notes(store, "b", **ELSEWHERE)
    FeatureStore.open(store).reopen("b", [1])
    report = run(videos, store, backbone)
    assert report.skipped == ["a"]
    assert f"shards by {THEIRS}" in report.mixed["b"]


def test_a_store_from_before_processors_were_noted_is_repaired(videos, backbone, undisturbed, store):
    edit_notes(store, "a", processor=None)
    damage(store, "a", 1)
    assert "on the processor (not noted)" in repaired(store, videos, backbone)["a"]
    assert clips_of(store) == clips_of(undisturbed)
