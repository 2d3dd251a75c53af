"""Features in the context of the video: what they are of, and that nothing else of a run shows in their bits."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clock import Looks, quiet, tree, write_rounding_weights
from film import write_film
from safetensors.torch import save_file
from torchvision.models import get_model

from stvr.backbones import I3D, Backbone, load_backbone
from stvr.backbones.i3d import scale
from stvr.backbones.weights.load import load_weights
from stvr.extract.flow import load_flow
from stvr.extract.job import extract
from stvr.extract.repair import repair
from stvr.store import FeatureStore, check_all
from stvr.structures import ClipSpec, Span
from stvr.video.decode import decode_clips

SIDE = 32
CLIP = ClipSpec(image_size=SIDE, context="video", cuts="keep")
NUM_CLIPS, CUT = 41, 13  # clips in all; the first of the second shot
ENDPOINTS = ("Mixed_3c", "Mixed_4c")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_rounding_weights(tmp_path_factory.mktemp("weights") / "made.safetensors")


@pytest.fixture(scope="module")
def backbone(weights) -> Backbone:
    return load_backbone(weights=weights, endpoint=",".join(ENDPOINTS), precision="float32")


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """13 clips and 2 frames of one shot, the rest another."""
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", 8 * CUT + 2, 8 * (NUM_CLIPS - CUT) - 2)


def run(film: Path, store: Path, backbone: Backbone, clip: ClipSpec = CLIP, **options):
    return extract([film], store, backbone, clip, clips_per_shard=4, flow=load_flow("ilk", SIDE), report=quiet,
                   **{"flip": True} | options)  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, film, backbone) -> Path:
    path, threads = tmp_path_factory.mktemp("stores") / "undisturbed", torch.get_num_threads()
    torch.set_num_threads(1)
    assert run(film, path, backbone).clips_computed == NUM_CLIPS
    torch.set_num_threads(threads)
    return path


def of_stretches(film: Path, weights: Path, endpoint: str, stretches: list[slice], flipped: bool) -> torch.Tensor:
    """The plain network over each stretch of clips by itself, (N, row, column, time, channel)."""
    model = I3D(endpoint).eval()
    load_weights(model, weights)
    frames = torch.from_numpy(np.stack([frames for _, frames, _ in decode_clips(film, CLIP)]))
    frames = frames.flip(-2) if flipped else frames
    with torch.inference_mode():
        maps = [model(scale(frames[clips].flatten(0, 1)[None]).contiguous())[0] for clips in stretches]  # (C, T, H, W)
    steps = torch.cat(maps, 1)
    return steps.unflatten(1, (NUM_CLIPS, -1)).permute(1, 3, 4, 2, 0)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_clips_features_are_its_steps_of_its_whole_shot(film, weights, undisturbed, endpoint, flipped):
    kept = FeatureStore.open(undisturbed).read(Span("film", 0, NUM_CLIPS), flipped, endpoint)
    expected = of_stretches(film, weights, endpoint, [slice(0, CUT), slice(CUT, NUM_CLIPS)], flipped)
    torch.testing.assert_close(kept.float(), expected, rtol=2**-10, atol=2**-10 * float(expected.max()))  # float16


def test_the_context_goes_on_over_cuts_that_are_ignored(film, weights, backbone, tmp_path):
    run(film, tmp_path, backbone, replace(CLIP, cuts="ignore"), flip=False)
    kept = FeatureStore.open(tmp_path).read(Span("film", 0, NUM_CLIPS), endpoint="Mixed_4c")
    expected = of_stretches(film, weights, "Mixed_4c", [slice(0, NUM_CLIPS)], flipped=False)
    torch.testing.assert_close(kept.float(), expected, rtol=2**-10, atol=2**-10 * float(expected.max()))


def test_flow_is_what_it_is_without_context(film, backbone, undisturbed, tmp_path):
    run(film, tmp_path, backbone, ClipSpec(image_size=SIDE), flip=False)
    span = Span("film", 0, NUM_CLIPS)
    assert torch.equal(FeatureStore.open(undisturbed).read_flow(span), FeatureStore.open(tmp_path).read_flow(span))


@pytest.mark.parametrize("shards", [[9], [5], [0, 3, 4, 8]])
def test_shards_that_were_lost_come_back_with_the_same_bits(film, backbone, undisturbed, tmp_path, shards, threads):
    threads(2)
    store = shutil.copytree(undisturbed, tmp_path / "store")
    FeatureStore.open(store).reopen("film", shards)
    assert run(film, store, backbone).clips_computed == 4 * len(shards)
    assert tree(store) == tree(undisturbed)


def test_a_broken_shard_is_repaired_in_context(film, backbone, undisturbed, tmp_path):
    store = shutil.copytree(undisturbed, tmp_path / "store")
    broken = next(path for path in sorted(store.glob("film/features*/c/6/**/*")) if path.is_file())
    content = bytearray(broken.read_bytes())
    content[len(content) // 2] ^= 4
    broken.write_bytes(content)
    opened = FeatureStore.open(store)
    report = repair(opened, check_all(opened), [film], lambda precision: backbone, load_flow("ilk", SIDE))
    assert (report.failed, report.clips_computed) == ({}, 4)
    assert tree(store) == tree(undisturbed)


def extract_on_one_thread(film: Path, store: Path, backbone: Backbone) -> None:
    torch.set_num_threads(1)
    run(film, store, backbone)


def test_killed_and_gone_on_with_by_two_workers_it_is_the_undisturbed_one(film, backbone, undisturbed, tmp_path):
    other = shutil.copy(film, tmp_path / "other.mp4")
    store, arguments = tmp_path / "store", (film, tmp_path / "store", backbone)
    process = multiprocessing.get_context("forkserver").Process(target=extract_on_one_thread, args=arguments)
    process.start()
    while not (store / "film/ticks/c/3/0").exists() and process.is_alive():
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    report = extract([film, other], store, backbone, CLIP, clips_per_shard=4, flow=load_flow("ilk", SIDE), flip=True,
                     workers=2, report=quiet)  # fmt: skip
    assert report.clips_reused >= 4
    assert report.clips_computed + report.clips_reused == 2 * NUM_CLIPS
    expected = {name: content for name, content in tree(undisturbed).items() if "/c/" in name}
    for video in ("film", "other"):
        assert {name.replace(video, "film", 1): content for name, content in tree(store).items()
                if name.startswith(f"{video}/") and "/c/" in name and ".partial" not in name} == expected


def test_a_store_knows_its_context_and_takes_no_other(film, backbone, undisturbed, stvr):
    spec = FeatureStore.open(undisturbed).spec
    assert (spec.clip.context, spec.clip.cuts) == ("video", "keep")
    assert json.loads(stvr("info", undisturbed).out)["spec"]["clip"]["context"] == "video"
    with pytest.raises(ValueError, match=r"its context is 'video', not 'clip'; its cuts is 'keep', not 'ignore'"):
        run(film, undisturbed, backbone, ClipSpec(image_size=SIDE))


def test_specs_of_earlier_releases_are_of_clips_alone(undisturbed):
    values = FeatureStore.open(undisturbed).spec.to_json()
    older = {**values, "clip": {"fps": 24, "frames_per_clip": 8, "image_size": SIDE}}
    assert type(FeatureStore.open(undisturbed).spec).from_json(older).clip == ClipSpec(image_size=SIDE)


def test_the_command_line_extracts_in_context(film, weights, undisturbed, tmp_path, stvr):
    made = stvr("extract", film, "--store", tmp_path, "--weights", weights, "--endpoint", "mixed_4c", "--image-size",
                SIDE, "--context", "video", "--precision", "float32")
    assert made.status == 0, made.err
    store, span = FeatureStore.open(tmp_path), Span("film", 0, NUM_CLIPS)
    assert store.spec.clip == CLIP
    assert torch.equal(store.read(span), FeatureStore.open(undisturbed).read(span, endpoint="Mixed_4c"))


@pytest.mark.parametrize(("flags", "says"), [
    (["--context", "clips"], "context must be clip or video, not 'clips'"),
    (["--context", "video", "--cuts", "some"], "cuts must be ignore or keep, not 'some'"),
    (["--cuts", "keep"], "Give --context video"),
    (["--context", "video", "--runtime", "compile"], "needs the runtime torch, not compile"),
])
def test_what_does_not_go_together_is_said_in_one_line(film, weights, tmp_path, stvr, flags, says):
    ended = stvr("extract", film, "--store", tmp_path / "store", "--weights", weights, *flags)
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert says in ended.err
    assert not (tmp_path / "store").exists()


def test_a_network_of_single_pictures_has_no_context(film, tmp_path, stvr):
    save_file(get_model("resnet18", weights=None).state_dict(), tmp_path / "resnet18.safetensors")
    ended = stvr("extract", film, "--store", tmp_path / "store", "--backbone", "resnet18", "--weights",
                 tmp_path / "resnet18.safetensors", "--context", "video")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "resnet18 sees every clip by itself" in ended.err
    with pytest.raises(LookupError, match="looks sees every clip by itself"):
        extract([film], tmp_path / "store", Looks(), CLIP)
    assert not (tmp_path / "store").exists()
