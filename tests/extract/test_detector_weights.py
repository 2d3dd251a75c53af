"""A detector's weights are fetched by name from where torchvision publishes them, and then need not be named again."""

from __future__ import annotations

import hashlib
import re

import pytest
import torch
from index import served, without_progress
from torchvision.models import get_model

from stvr.extract import detector_weights
from stvr.extract.detector import load_detector
from stvr.extract.detector_weights import DETECTORS, PublishedDetector, published

NAME = "ssdlite320_mobilenet_v3_large"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A server's folder with made weights of a detector."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("published")
    torch.save(get_model(NAME, weights=None, weights_backbone=None).state_dict(), path / "made.pth")
    return path


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("STVR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


def publish(monkeypatch, url: str, prefix: str) -> None:
    monkeypatch.setattr(detector_weights, "published", lambda name: PublishedDetector(f"{url}/made.pth", prefix, 1000))


def test_torchvision_publishes_an_address_and_a_digest_for_each():
    for name in DETECTORS:
        each = published(name)
        assert re.fullmatch(rf"https://.*/{name}(_coco)?-{each.prefix}\.pth", each.url)
        assert re.fullmatch("[0-9a-f]{8}", each.prefix)
        assert 1e7 < each.size < 2e8


def test_a_fetched_detector_needs_no_file(stvr, monkeypatch, folder, cache):
    with served(folder) as (url, asked):
        publish(monkeypatch, url, hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()[:8])
        result = stvr("weights", "fetch", NAME)
        assert (result.status, without_progress(result.err)) == (0, [])
        assert "127.0.0.1" in result.out
        assert "there already" in stvr("weights", "fetch", NAME).out
        assert asked == ["/made.pth"]
    assert [path.name for path in cache.iterdir()] == [f"{NAME}.pth"]
    assert load_detector(NAME).name == load_detector(NAME, folder / "made.pth").name


def test_another_file_is_refused_and_nothing_is_kept(stvr, monkeypatch, folder, cache):
    with served(folder) as (url, _):
        publish(monkeypatch, url, "00000000")
        result = stvr("weights", "fetch", NAME)
    assert result.status == 2
    assert "are not what torchvision publishes" in result.err.splitlines()[-1]
    assert list(cache.iterdir()) == []


def test_who_is_offline_is_told_in_one_line(stvr, monkeypatch, cache):
    publish(monkeypatch, "http://127.0.0.1:9", "00000000")  # nothing listens there
    result = stvr("weights", "fetch", NAME)
    assert result.status == 2
    assert result.err.startswith("stvr: http://127.0.0.1:9/made.pth cannot be reached")
    assert result.err.count("\n") == 1
    assert list(cache.iterdir()) == []
    with pytest.raises(LookupError, match=f"Run `stvr weights fetch {NAME}`"):
        load_detector(NAME)
