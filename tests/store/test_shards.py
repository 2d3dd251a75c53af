"""What is read straight from a shard is what zarr reads, and damage is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr
from numcodecs.zstd import Zstd
from tiny import SPEC

from stvr.store import FeatureStore
from stvr.store.shards import content_size, is_plain, read_shard
from stvr.structures import Span

SHAPE = (3, 4, 2, 8)


@pytest.fixture
def store(tmp_path):
    """Ten clips in shards of four: the last one is not full, and clip 5 is all zeros."""
    store = FeatureStore.create(tmp_path / "store", SPEC, clips_per_shard=4)
    maps = torch.rand(10, *SHAPE, generator=torch.Generator().manual_seed(0)).half()
    maps[5] = 0
    with store.write("a", 10, SHAPE) as writer:
        writer.append(maps, np.zeros((10, 8), np.int64))
        writer.complete()
    return store


def shard_of(store, number):
    return store.path / "a" / "features" / "c" / str(number) / "0" / "0" / "0" / "0"


@pytest.mark.parametrize("span", [(0, 10), (3, 5), (4, 8), (9, 10), (2, 9)])
def test_clips_of_several_shards_are_those_that_zarr_reads(store, span):
    array = zarr.open_array(store.path, path="a/features", mode="r")
    assert is_plain(array, 4)
    out = torch.full((span[1] - span[0], *SHAPE), 7.0, dtype=torch.float16)
    assert store.read(Span("a", *span), out=out) is not None
    np.testing.assert_array_equal(out.numpy(), array[span[0] : span[1]])


def test_other_shards_are_left_to_zarr(tmp_path):
    plain = dict(shape=(8, *SHAPE), dtype="float16", chunks=(1, *SHAPE))
    zstd, gzip = zarr.codecs.ZstdCodec(), zarr.codecs.GzipCodec()
    for number, (shard, codec, wanted) in enumerate([(4, zstd, True), (2, zstd, False), (4, gzip, False)]):
        array = zarr.create_array(tmp_path / str(number), **plain, shards=(shard, *SHAPE), compressors=codec)
        assert is_plain(array, 4) is wanted
    assert not is_plain(zarr.create_array(tmp_path / "bare", **plain), 4)


def test_clips_that_were_never_written_are_zeros(tmp_path):
    array = zarr.create_array(tmp_path / "a", shape=(4, *SHAPE), dtype="float16", chunks=(1, *SHAPE),
                              shards=(4, *SHAPE), compressors=zarr.codecs.ZstdCodec())
    array[:] = np.ones((4, *SHAPE), np.float16) * np.array([1, 0, 3, 0])[:, None, None, None, None]
    out = np.full((3, *SHAPE), 7, np.float16)
    read_shard(tmp_path / "a" / "c" / "0" / "0" / "0" / "0" / "0", slice(0, 3), 4, out)
    np.testing.assert_array_equal(out[:, 0, 0, 0, 0], [1, 0, 3])


@pytest.mark.parametrize(("where", "said"), [(-2, "checksum"), (30, "damaged"), ("short", "shorter than its index"),
                                             ("middle", "damaged"), ("gone", "shard 1 of features is missing")])
def test_a_damaged_shard_is_told_of(store, where, said):
    file = shard_of(store, 1)
    content = bytearray(file.read_bytes())
    if where == "gone":
        file.unlink()
    elif where == "short":
        file.write_bytes(content[-40:])
    elif where == "middle":
        file.write_bytes(content[100:])  # the index is whole, and points behind the end
    else:
        content[where] ^= 0x55
        file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"clips \[3, 6\) of 'a'.*{said}.*stvr repair"):
        store.read(Span("a", 3, 6))


def test_maps_of_another_size_are_refused(store):
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 2, 8\).*one size"):
        store.read(Span("a", 0, 2), out=torch.empty(2, 4, 4, 2, 8, dtype=torch.float16))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_791, 65_792, 70_000])
def test_a_frame_says_how_much_it_holds(size):
    frame = Zstd(level=1, checksum=True).encode(bytes(size))
    assert content_size(memoryview(bytes(frame))) == size


@pytest.mark.parametrize("compress", ["bits7", "int8"])
def test_coded_maps_come_to_where_they_are_wanted(tmp_path, compress):
    store = FeatureStore.create(tmp_path / "store", replace(SPEC, compress=compress), clips_per_shard=4)
    with store.write("a", 6, SHAPE) as writer:
        writer.append(torch.rand(6, *SHAPE).half(), np.zeros((6, 8), np.int64))
        writer.complete()
    out = torch.empty(3, *SHAPE, dtype=torch.float16)
    store.read(Span("a", 2, 5), out=out)
    assert torch.equal(out, store.read(Span("a", 2, 5)))
