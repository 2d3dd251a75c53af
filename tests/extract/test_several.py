"""Several endpoints in one run: each store equals that of a run for its endpoint alone, bit for bit."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from barcode import write_video

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Span

CLIP = ClipSpec(image_size=32)
ENDPOINTS = ["Conv3d_2c_3x3", "MaxPool3d_2a_3x3", "Mixed_3b.mean"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    return [write_video(folder / f"{name}.mp4", range(24 * count), Fraction(1, 24), 1)
            for name, count in (("a", 3), ("b", 1))]  # fmt: skip


def run(videos, store, made_i3d, endpoint, **options):
    backbone = load_backbone(weights=made_i3d, endpoint=endpoint, precision="float32")
    return extract(
        videos, store, backbone, CLIP, batch_size=2, clips_per_shard=4, report=lambda step: None, **options
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a store's arrays."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("[ab]/*/**/*") if path.is_file()}


def test_every_store_equals_that_of_its_endpoint_alone(tmp_path, made_i3d, videos):
    report = run(videos, tmp_path / "all", made_i3d, ",".join(ENDPOINTS), flip=True)
    assert (report.done, report.clips_computed) == (["a", "b"], 12)
    for endpoint in ENDPOINTS:
        run(videos, tmp_path / endpoint, made_i3d, endpoint, flip=True)
        alone, together = (FeatureStore.open(path) for path in (tmp_path / endpoint, tmp_path / "all" / endpoint))
        assert together.spec == alone.spec
        assert together.spec.endpoint == endpoint
        assert together.info("a") == alone.info("a")
        assert len(contents(alone.path)) > 10
        assert contents(together.path) == contents(alone.path)


def test_a_mean_is_the_mean_of_the_map(tmp_path, made_i3d, videos):
    run(videos, tmp_path, made_i3d, "mixed_3b,mixed_3b.mean")
    maps, means = (FeatureStore.open(tmp_path / name).read(Span("a", 0, 9)) for name in ("Mixed_3b", "Mixed_3b.mean"))
    assert means.shape == (9, 1, 1, 1, 256)
    torch.testing.assert_close(means.float()[:, 0, 0, 0], maps.float().mean((1, 2, 3)), rtol=2e-3, atol=1e-4)


def test_what_one_store_lost_is_made_again_and_the_others_stay_as_they_are(tmp_path, made_i3d, videos):
    endpoints = ",".join(ENDPOINTS[:2])
    run(videos, tmp_path, made_i3d, endpoints)
    whole = {endpoint: contents(tmp_path / endpoint) for endpoint in ENDPOINTS[:2]}
    FeatureStore.open(tmp_path / ENDPOINTS[0]).reopen("a", [1])
    FeatureStore.open(tmp_path / ENDPOINTS[1]).reopen("a", [0, 2])
    again = run(videos, tmp_path, made_i3d, endpoints)
    assert (again.done, again.skipped, again.clips_computed) == (["a"], ["b"], 9)
    FeatureStore.open(tmp_path / ENDPOINTS[1]).reopen("b")  # one store has the whole video, the other none of it
    assert run(videos, tmp_path, made_i3d, endpoints).clips_computed == 3
    assert {endpoint: contents(tmp_path / endpoint) for endpoint in ENDPOINTS[:2]} == whole


def test_workers_fill_the_same_stores(tmp_path, made_i3d, videos):
    for name, workers in (("one", 1), ("two", 2)):
        run(videos, tmp_path / name, made_i3d, ",".join(ENDPOINTS[:2]), workers=workers)
    for endpoint in ENDPOINTS[:2]:
        assert contents(tmp_path / "two" / endpoint) == contents(tmp_path / "one" / endpoint)


def test_a_broken_file_is_noted_in_all_stores(tmp_path, made_i3d):
    (tmp_path / "text.mp4").write_text("no video")
    report = run([tmp_path / "text.mp4"], tmp_path / "all", made_i3d, ",".join(ENDPOINTS[:2]))
    assert list(report.failed) == ["text"]
    for endpoint in ENDPOINTS[:2]:
        assert list(FeatureStore.open(tmp_path / "all" / endpoint).failed()) == ["text"]


def test_endpoints_that_do_not_go_together_are_refused(tmp_path, made_i3d, videos):
    with pytest.raises(LookupError, match="names an endpoint twice"):
        load_backbone(weights=made_i3d, endpoint="Mixed_3b,mixed_3b")
    with pytest.raises(ValueError, match="several endpoints in one run need the runtime torch"):
        load_backbone(weights=made_i3d, endpoint="Mixed_3b,Conv3d_2c_3x3", runtime="compile")
    run(videos[1:], tmp_path / "one", made_i3d, ENDPOINTS[0])
    with pytest.raises(ValueError, match="is a store of one endpoint"):
        run(videos[1:], tmp_path / "one", made_i3d, ",".join(ENDPOINTS))


def test_a_store_can_be_compressed_while_it_is_made(tmp_path, made_i3d, videos):
    for compress in ("lossless", "int8"):
        run(videos, tmp_path / compress, made_i3d, ENDPOINTS[0], compress=compress)
    exact, coded = (FeatureStore.open(tmp_path / name).read(Span("a", 0, 9)).float() for name in ("lossless", "int8"))
    step = (exact.amax((1, 2, 3), keepdim=True) - exact.amin((1, 2, 3), keepdim=True)) / 255
    assert ((coded - exact).abs() <= step / 2 + exact.abs() * 2**-10).all()
    assert (coded != exact).any()
    with pytest.raises(ValueError, match="compress is 'int8', not 'lossless'"):
        run(videos, tmp_path / "int8", made_i3d, ENDPOINTS[0])


def test_a_compressed_store_is_repaired_as_it_was(tmp_path, made_i3d, videos, stvr):
    flags = ["--weights", made_i3d, "--store", tmp_path / "store", "--endpoint", ENDPOINTS[0], "--image-size", 32]
    assert stvr("extract", *videos, *flags, "--compress", "int8", "--precision", "float32").status == 0
    store = tmp_path / "store"
    whole = contents(store)
    broken = next(path for path in (store / "a" / "features" / "c").rglob("*") if path.is_file())
    content = bytearray(broken.read_bytes())
    content[len(content) // 3] ^= 1
    broken.write_bytes(content)
    assert stvr("verify", store).status == 1
    assert stvr("repair", store, *videos, "--weights", made_i3d).status == 0
    assert contents(store) == whole
    assert stvr("verify", store).status == 0
