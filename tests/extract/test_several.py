"""Several endpoints in one run, in one store: each map equals that of a run for its endpoint alone, bit for bit."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from barcode import write_video

from stvr.backbones import load_backbone
from stvr.extract.flow import load_flow
from stvr.extract.job import extract
from stvr.store import FeatureStore, check_all
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


def contents(folder: Path, below: str = "*") -> dict[str, bytes]:
    """Every file of a store's arrays."""
    paths = folder.glob(f"[ab]/{below}/**/*")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


def test_every_map_equals_that_of_a_store_of_its_endpoint_alone(tmp_path, made_i3d, videos):
    report = run(videos, tmp_path / "all", made_i3d, ",".join(ENDPOINTS), flip=True)
    assert (report.done, report.clips_computed) == (["a", "b"], 12)
    together = FeatureStore.open(tmp_path / "all")
    assert together.spec.endpoint == ",".join(ENDPOINTS)
    for endpoint in ENDPOINTS:
        run(videos, tmp_path / endpoint, made_i3d, endpoint, flip=True)
        alone = FeatureStore.open(tmp_path / endpoint)
        assert together.spec.only([endpoint]) == alone.spec
        assert together.info("a") == alone.info("a")
        for view in ("features", "features_flipped"):
            ours, theirs = contents(together.path, f"{view}.{endpoint}"), contents(alone.path, view)
            assert len(theirs) == 6  # three shards of a and one of b, and what describes the two arrays
            assert {name.replace(f".{endpoint}", ""): content for name, content in ours.items()} == theirs
    assert contents(together.path, "ticks") == contents(alone.path, "ticks")


def test_a_mean_is_the_mean_of_the_map(tmp_path, made_i3d, videos):
    run(videos, tmp_path / "store", made_i3d, "mixed_3b,mixed_3b.mean")
    store = FeatureStore.open(tmp_path / "store")
    maps, means = (store.read(Span("a", 0, 9), endpoint=name) for name in ("Mixed_3b", "Mixed_3b.mean"))
    assert means.shape == (9, 1, 1, 1, 256)
    torch.testing.assert_close(means.float()[:, 0, 0, 0], maps.float().mean((1, 2, 3)), rtol=2e-3, atol=1e-4)


def test_flow_and_codes_go_with_every_map(tmp_path, made_i3d, videos):
    """Flow is that of a store of the finest map alone."""
    kinds = {"flow": load_flow("ilk", 32), "compress": "int8"}
    for name, endpoints in (("both", f"Mixed_3b,{ENDPOINTS[0]}"), ("fine", ENDPOINTS[0])):
        run(videos, tmp_path / name, made_i3d, endpoints, **kinds)
    both, fine = (FeatureStore.open(tmp_path / name) for name in ("both", "fine"))
    assert both.spec.finest.endpoint == ENDPOINTS[0]
    assert contents(both.path, "flow") == contents(fine.path, "flow")
    assert torch.equal(both.read(Span("a", 0, 9), endpoint=ENDPOINTS[0]), fine.read(Span("a", 0, 9)))
    assert check_all(both).faults == ()


def test_what_a_store_lost_is_made_again_bit_for_bit(tmp_path, made_i3d, videos):
    endpoints = ",".join(ENDPOINTS[:2])
    run(videos, tmp_path / "store", made_i3d, endpoints)
    whole = contents(tmp_path / "store")
    FeatureStore.open(tmp_path / "store").reopen("a", [0, 2])
    again = run(videos, tmp_path / "store", made_i3d, endpoints)
    assert (again.done, again.skipped, again.clips_computed) == (["a"], ["b"], 5)
    assert contents(tmp_path / "store") == whole


def test_workers_fill_the_same_store(tmp_path, made_i3d, videos):
    for name, workers in (("one", 1), ("two", 2)):
        run(videos, tmp_path / name, made_i3d, ",".join(ENDPOINTS[:2]), workers=workers)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_the_order_of_endpoints_does_not_matter_to_a_store_that_is_there(tmp_path, made_i3d, videos):
    run(videos[1:], tmp_path / "store", made_i3d, ",".join(ENDPOINTS[:2]))
    again = run(videos, tmp_path / "store", made_i3d, ",".join(ENDPOINTS[1::-1]))
    assert (again.done, again.skipped) == (["a"], ["b"])
    run(videos, tmp_path / "straight", made_i3d, ",".join(ENDPOINTS[:2]))
    assert contents(tmp_path / "store") == contents(tmp_path / "straight")


def test_endpoints_that_do_not_go_together_are_refused(tmp_path, made_i3d, videos):
    with pytest.raises(LookupError, match="names an endpoint twice"):
        load_backbone(weights=made_i3d, endpoint="Mixed_3b,mixed_3b")
    with pytest.raises(ValueError, match="several endpoints in one run need the runtime torch"):
        load_backbone(weights=made_i3d, endpoint="Mixed_3b,Conv3d_2c_3x3", runtime="compile")
    run(videos[1:], tmp_path / "one", made_i3d, ENDPOINTS[0])
    with pytest.raises(ValueError, match=f"its endpoint is '{ENDPOINTS[0]}', not '{','.join(ENDPOINTS)}'"):
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
