"""Boxes of a detector are kept beside the features: torchvision's own, clip by clip."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from barcode import write_video
from torchvision.models import get_model

from stvr.extract.detector import BOXES_A_CLIP, detect, load_detector
from stvr.store import FeatureStore, check
from stvr.store.region_boxes import detector_of, read_boxes
from stvr.structures import Span
from stvr.video.decode import decode_clips

NAME = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture(scope="module")
def network():
    """Five classes; it takes nearly everything for the second."""
    torch.manual_seed(0)
    detector = get_model(NAME, weights=None, weights_backbone=None, num_classes=5).eval()
    with torch.no_grad():
        detector.roi_heads.box_predictor.cls_score.bias[2] = 5
    return detector


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "detector.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "a.mp4", range(24), Fraction(1, 24), 1)


@pytest.fixture
def endpoint() -> str:
    return "Conv3d_2b_1x1"


@pytest.fixture
def extracted(tmp_path, video, stvr, endpoint):
    result = stvr("extract", video, "--store", tmp_path / "store", "--endpoint", endpoint, "--image-size", 64)
    assert result.status == 0
    return tmp_path / "store"


@pytest.mark.parametrize("endpoint", ["Conv3d_2b_1x1", "Conv3d_2b_1x1,Conv3d_1a_7x7"])
@torch.no_grad()
def test_boxes_are_torchvisions_for_the_middle_frame_of_each_clip(network, saved, video, extracted, endpoint, stvr):
    result = stvr("extract", video, "--store", extracted, "--endpoint", endpoint, "--image-size", 64,
                  "--boxes", NAME, "--boxes-weights", saved)  # fmt: skip
    assert result.status == 0
    store = FeatureStore.open(extracted)
    boxes = read_boxes(store, Span("a", 0, 3))
    assert boxes.shape == (3, BOXES_A_CLIP, 6)
    clips = [frames for _, frames, _ in decode_clips(video, store.spec.clip)]
    pictures = [torch.from_numpy(frames[4].copy()).permute(2, 0, 1) / 255 for frames in clips]
    for index, found in enumerate(network(pictures)):
        count = min(len(found["scores"]), BOXES_A_CLIP)
        assert count > 3
        torch.testing.assert_close(boxes[index, :count, :4] * 64, found["boxes"][:count], rtol=1e-4, atol=1e-2)
        torch.testing.assert_close(boxes[index, :count, 4], found["scores"][:count], rtol=1e-4, atol=1e-5)
        assert boxes[index, :count, 5].long().tolist() == found["labels"][:count].tolist()
        assert not boxes[index, count:].any()
    torch.testing.assert_close(read_boxes(store, Span("a", 1, 2)), boxes[1:2])
    assert store.videos() == ["a"]
    assert check(store, "a") == []


def test_the_detector_runs_once_on_each_video(saved, video, extracted, monkeypatch):
    store, detector = FeatureStore.open(extracted), load_detector(NAME, saved)
    killed = extracted / ".boxes" / "a.npz.0123456789abcdef.partial"  # as one that was killed leaves it
    killed.parent.mkdir()
    killed.write_bytes(b"PK")
    assert detect([video], store, detector) == ["a"]
    assert not killed.exists()
    monkeypatch.setattr(detector, "network", None)  # it would fail if it ran again
    assert detect([video], store, detector) == []
    assert detector_of(store, "a") == detector.name


def test_boxes_are_never_of_another_file_or_detector(saved, video, extracted, network, tmp_path):
    store = FeatureStore.open(extracted)
    with pytest.raises(LookupError, match=r"no boxes of 'a'.*--boxes"):
        read_boxes(store, Span("a", 0, 1))
    (tmp_path / "other").mkdir()
    other = write_video(tmp_path / "other" / "a.mp4", range(5, 29), Fraction(1, 24), 1)
    with pytest.raises(ValueError, match="is not the file that 'a' was made from"):
        detect([other], store, load_detector(NAME, saved))
    detect([video], store, load_detector(NAME, saved))
    with torch.no_grad():
        changed = {name: value + 1 if name.endswith("cls_score.bias") else value
                   for name, value in network.state_dict().items()}  # fmt: skip
    torch.save(changed, tmp_path / "changed.pth")
    with pytest.raises(ValueError, match=r"'a' has boxes of .*, not of "):
        detect([video], store, load_detector(NAME, tmp_path / "changed.pth"))


def test_weights_that_are_not_its_own_are_refused(saved):
    with pytest.raises(LookupError, match="Choose one of fasterrcnn"):
        load_detector("yolo", saved)
    with pytest.raises(LookupError, match="--boxes-weights"):
        load_detector(NAME, None)
    with pytest.raises(ValueError, match=r"detector.pth: wanted torchvision's weights of ssd300_vgg16"):
        load_detector("ssd300_vgg16", saved)
