"""One contract for maps: any endpoint of any backbone trains and answers, by flags alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from stvr.backbones import I3D, load_backbone
from stvr.backbones.analytic import analytic_state
from stvr.backbones.i3d import scale
from stvr.backbones.weights.load import load_state
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, MapSpec
from stvr.world.synthetic import write_world

SMALL = """
[head]
width = 8
proposal_width = 8
num_proposals = 6
attention_width = 4
tail_width = 8
tail_units = 1
embedding_width = 4
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Five videos of four seconds."""
    world = tmp_path_factory.mktemp("endpoints") / "world"
    write_world(world, size="tiny", workers=1, num_train_videos=3, num_test_videos=2)
    (world / "small.toml").write_text(SMALL)
    return world


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory) -> Path:
    """Its own names and shapes, made numbers."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet50.safetensors"
    save_file(get_model("resnet50", weights=None).state_dict(), path)
    return path


# Channels and strides as He et al. 2016 (table 1) and Szegedy et al. 2015 (table 1: inception 4e) have them.
@pytest.mark.parametrize(("backbone", "endpoint", "stride", "steps", "channels"), [
    ("resnet50", "layer3", 16, 2, 1024), ("i3d", "Mixed_4f", 16, 2, 832),
])
def test_a_map_of_any_backbone_trains_is_evaluated_and_asked(stvr, world, resnet50, tmp_path, backbone, endpoint,
                                                             stride, steps, channels):
    videos, weights = world / "videos", ["--weights", resnet50] if backbone == "resnet50" else []
    made = stvr("extract", videos, "--store", tmp_path / "store", "--backbone", backbone, *weights, "--endpoint",
                endpoint, "--image-size", 64)
    assert made.status == 0, made.err
    assert json.loads(stvr("info", tmp_path / "store").out)["spec"]["maps"] == {
        endpoint: {"stride": stride, "steps": steps, "channels": channels}
    }
    prepared = stvr("prepare", "table", world / "tracks.csv", "--videos", videos, "--out", tmp_path / "pairs.json",
                    "--held-out", world / "held_out_names.txt")
    assert prepared.status == 0, prepared.err
    trained = stvr("train", "--frozen-backbone", "--store", tmp_path / "store", "--pairs", tmp_path / "pairs.json",
                   "--preset", "small", "--config", world / "small.toml", "--steps", 2, "--batch-size", 2, "--out",
                   tmp_path / "run")
    assert trained.status == 0, trained.err
    judged = stvr("eval", "--checkpoint", tmp_path / "run", "--store", tmp_path / "store", "--pairs",
                  tmp_path / "pairs.json")
    assert judged.status == 0, judged.err
    first, second, *_ = sorted(videos.glob("*.mp4"))
    asked = ["locate", "--checkpoint", tmp_path / "run", "--query", first, "--box", "0.2,0.1,0.8,0.9", "--at", 1.5,
             second, *weights]
    answers = {}
    for source, more in (("file", []), ("store", ["--store", tmp_path / "store"])):
        ended = stvr(*asked, *more, "--out", tmp_path / source)
        assert ended.status == 0, ended.err
        answers[source] = (tmp_path / source / "tubelets.jsonl").read_text()
    assert answers["file"] == answers["store"]


def test_a_head_localises_on_one_map_and_matches_on_another(stvr, world, tmp_path):
    """From video to answer by flags alone: it gives the same on a file, on the store, and on what a store lacked."""
    videos, store, run = sorted((world / "videos").glob("*.mp4")), tmp_path / "store", tmp_path / "run"
    endpoints = ["--endpoint", "Mixed_4c,Mixed_5c", "--image-size", 64]
    assert stvr("extract", *videos, "--store", store, *endpoints).status == 0
    assert list(json.loads(stvr("info", store).out)["spec"]["maps"]) == ["Mixed_4c", "Mixed_5c"]
    prepared = stvr("prepare", "table", world / "tracks.csv", "--videos", world / "videos", "--out",
                    tmp_path / "pairs.json", "--held-out", world / "held_out_names.txt")
    assert prepared.status == 0, prepared.err
    (tmp_path / "deep.toml").write_text(f'{SMALL}match_on = "Mixed_5c"\n')
    trained = stvr("train", "--store", store, "--pairs", tmp_path / "pairs.json", "--preset", "small", "--config",
                   tmp_path / "deep.toml", "--steps", 2, "--batch-size", 2, "--out", run)
    assert trained.status == 0, trained.err
    judged = stvr("eval", "--checkpoint", run, "--store", store, "--pairs", tmp_path / "pairs.json", "--limit", 4)
    assert judged.status == 0, judged.err
    info = json.loads(stvr("info", run).out)
    assert (info["head"]["localise_on"], info["head"]["match_on"]) == ("Mixed_4c", "Mixed_5c")
    assert list(info["reads"]["maps"]) == ["Mixed_4c", "Mixed_5c"]
    more = tmp_path / "more"  # keeps a third map, and has the query alone
    assert stvr("extract", videos[0], "--store", more, "--endpoint", "Mixed_4c,Mixed_4f,Mixed_5c", "--image-size",
                64).status == 0  # fmt: skip
    answers = {}
    for source, flags in (("file", []), ("store", ["--store", store]), ("more", ["--store", more])):
        ended = stvr("locate", "--checkpoint", run, "--query", videos[0], "--box", "0.2,0.1,0.8,0.9", "--at", 1.5,
                     videos[1], *flags, "--out", tmp_path / f"from {source}")
        assert ended.status == 0, ended.err
        answers[source] = (tmp_path / f"from {source}" / "tubelets.jsonl").read_text()
    assert answers["file"] == answers["store"] == answers["more"]
    assert answers["file"]
    assert FeatureStore.open(more).videos() == sorted([videos[0].stem, videos[1].stem])


@pytest.mark.parametrize(("cut", "stride", "steps", "channels"), [
    ("Conv3d_2c_3x3", 4, 4, 192), ("Mixed_3c", 8, 4, 480), ("Mixed_4c", 16, 2, 512), ("Mixed_5c", 32, 1, 1024),
    ("Mixed_5c.mean", 96, 1, 1024),
])
def test_a_backbone_says_what_its_maps_are(cut, stride, steps, channels):
    """As the network itself gives them: a clip of 8 frames of 96 pixels, through I3D layer by layer."""
    clip = ClipSpec(image_size=96)
    model = I3D(cut.removesuffix(".mean")).eval()
    load_state(model, analytic_state(model), "analytic")
    with torch.no_grad():
        shape = model(scale(torch.zeros(1, 8, 96, 96, 3, dtype=torch.uint8)).contiguous()).shape  # (1, C, T, H, W)
    if not cut.endswith(".mean"):
        assert (shape[1], shape[2], 96 // shape[3]) == (channels, steps, stride)
    assert load_backbone(endpoint=cut).map_specs(clip) == (MapSpec(cut, stride, steps, channels),)


def test_clips_of_other_lengths_have_other_steps():
    assert load_backbone(endpoint="Mixed_4c").map_specs(ClipSpec(frames_per_clip=16))[0].steps == 4
