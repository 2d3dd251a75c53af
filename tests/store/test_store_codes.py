"""Features that are kept smaller lose what is said, no more; a store goes through another format and back."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tiny
import torch
from filled import SHAPE, SPEC, WHOLE, clips, companions, fill
from tiny import HEAD, write_store, write_tiny_pairs

from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import save_head
from stvr.jobs.evaluate import evaluate
from stvr.store import FeatureStore, check
from stvr.store.codes import CODES, decode, encode
from stvr.store.exchange import describe_export, export_features, import_features, is_export
from stvr.store.quantize import quantize
from stvr.structures import Span


def every_float16() -> np.ndarray:
    """All 63,488 that are finite, as maps of 31 channels."""
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return values[np.isfinite(values)].reshape(4, 8, 16, 4, 31)


def test_seven_bits_are_the_nearest_numbers_that_have_no_more():
    """Against torch, whose bfloat16 has seven bits, wherever its exponents reach: float16's normal numbers."""
    values = every_float16()
    kept = encode(values, "bits7")[""]
    rounded = torch.from_numpy(values).float().bfloat16().float().numpy()
    normal = (np.abs(values) >= 2.0**-14) & (np.abs(rounded) <= 65504)
    np.testing.assert_array_equal(kept[normal].astype(np.float32), rounded[normal])
    assert np.isfinite(kept).all()
    assert np.abs(kept.astype(np.float64) - values)[~normal & (np.abs(values) < 1)].max() <= 2.0**-22
    np.testing.assert_array_equal(np.signbit(kept), np.signbit(values))


def test_int8_is_off_by_half_a_step_of_its_channel_at_most():
    maps = np.random.default_rng(0).normal(0, [[0.01, 1, 100, 5]], (3, 5, 4, 2, 4)).astype(np.float16)
    maps[..., 3] = 0.25  # a channel that is the same everywhere is kept as it is
    parts = encode(maps, "int8")
    assert (parts[""].dtype, parts["levels"].shape) == (np.uint8, (3, 2, 4))
    read = decode(parts, "int8").astype(np.float64)
    for clip in range(3):
        for channel in range(4):
            was = maps[clip, ..., channel].astype(np.float64)
            bound = (was.max() - was.min()) / 510 + np.abs(was).max() * 2.0**-11
            assert np.abs(read[clip, ..., channel] - was).max() <= bound * 1.001
    np.testing.assert_array_equal(read[..., 3], 0.25)


def test_zeros_of_relu_stay_zeros():
    maps = np.maximum(np.random.default_rng(0).standard_normal((2, 5, 4, 2, 8)), 0).astype(np.float16)
    for name in CODES:
        assert (decode(encode(maps, name), name)[maps == 0] == 0).all()


@pytest.mark.parametrize("compress", ["bits7", "int8"])
def test_a_store_that_compresses_keeps_what_is_written_to_it(tmp_path, compress):
    store = FeatureStore.create(tmp_path / "store", replace(WHOLE, compress=compress), clips_per_shard=4)
    fill(store, "a", 10)
    again = FeatureStore.open(tmp_path / "store")
    for flipped, maps in ((False, clips(3, 9)[0]), (True, companions(3, 9)[1])):
        read = again.read(Span("a", 3, 9), flipped)
        assert read.dtype == torch.float16
        wanted = decode(encode(maps, compress), compress)
        np.testing.assert_array_equal(read.numpy(), wanted)
        assert 0 < np.linalg.norm((wanted - maps).astype(float)) < 0.01 * np.linalg.norm(maps.astype(float))
    np.testing.assert_array_equal(again.read_flow(Span("a", 3, 9)).numpy(), companions(3, 9)[0])
    assert check(again, "a") == []


def test_the_loss_that_is_told_is_the_loss(tmp_path):
    source = FeatureStore.create(tmp_path / "store", WHOLE, clips_per_shard=4)
    for video, count in (("a", 10), ("b", 3)):
        fill(source, video, count)
    for compress in ("bits7", "int8"):
        told = quantize(source, tmp_path / compress, compress)
        store = FeatureStore.open(tmp_path / compress)
        assert store.videos() == ["a", "b"]
        assert store.spec == replace(WHOLE, compress=compress)
        was = np.concatenate([clips(0, 10)[0], companions(0, 10)[1]]).astype(np.float64)
        span = Span("a", 0, 10)
        read = torch.cat([store.read(span), store.read(span, flipped=True)]).double().numpy()
        assert told["a"].relative == pytest.approx(np.linalg.norm(read - was) / np.linalg.norm(was), rel=1e-6)
        assert told["a"].largest == pytest.approx(np.abs(read - was).max())
        assert told["a"].largest_value == np.abs(was).max()
        np.testing.assert_array_equal(store.ticks("a"), source.ticks("a"))
        np.testing.assert_array_equal(store.read_flow(span), source.read_flow(span))
        kept = {name: value for name, value in store.info("a").items() if name != "loss"}
        assert kept == source.info("a")


def test_lossless_is_a_copy(tmp_path, store):
    told = quantize(store, tmp_path / "copy", "lossless")
    assert (told["a"].relative, told["a"].largest) == (0, 0)
    np.testing.assert_array_equal(FeatureStore.open(tmp_path / "copy").read(Span("a", 0, 10)), clips(0, 10)[0])


def test_a_second_loss_is_refused(tmp_path, store):
    quantize(store, tmp_path / "smaller", "bits7")
    with pytest.raises(ValueError, match="kept as bits7 already"):
        quantize(FeatureStore.open(tmp_path / "smaller"), tmp_path / "again", "int8")
    with pytest.raises(LookupError, match="Choose one of lossless, bits7, int8"):
        quantize(store, tmp_path / "again", "int4")
    with pytest.raises(ValueError, match="the store itself"):
        quantize(store, store.path, "lossless")
    with pytest.raises(ValueError, match="compress is 'lossless', not 'bits7'"):
        quantize(store, store.path, "bits7")


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    made = FeatureStore.create(tmp_path / "store", SPEC, clips_per_shard=4)
    fill(made, "a", 10)
    return made


@pytest.mark.parametrize("compress", list(CODES))
@pytest.mark.parametrize("file_format", ["hdf5", "npz"])
def test_there_and_back_every_file_is_equal_bit_for_bit(tmp_path, file_format, compress):
    spec = replace(WHOLE, compress=compress)
    source = FeatureStore.create(tmp_path / "store", spec, clips_per_shard=4)
    for video, count in (("a", 10), ("b", 3), ("c", 8)):
        fill(source, video, count)
    assert export_features(source, tmp_path / "file", file_format) == 3
    again = import_features(tmp_path / "file", tmp_path / "again")
    assert again.spec == spec
    assert again.spec.weights == SPEC.weights
    assert again.videos() == ["a", "b", "c"]
    for video in again.videos():
        assert again.info(video) == source.info(video)
        files = [path for path in (source.path / video).glob("*/**/*") if path.is_file()]
        assert len(files) > 5
        for path in files:
            assert (again.path / path.relative_to(source.path)).read_bytes() == path.read_bytes(), path
    assert describe_export(tmp_path / "file")["clips"] == 21
    assert is_export(tmp_path / "file")


def test_others_read_the_files_with_their_own_libraries(tmp_path, store):
    export_features(store, tmp_path / "file.h5", "hdf5")
    export_features(store, tmp_path / "file.npz", "npz")
    features, ticks = clips(0, 10)
    with h5py.File(tmp_path / "file.h5") as file:
        np.testing.assert_array_equal(file["a/features"][:], features)
        assert file["a/features"].chunks == (1, *SHAPE)
        np.testing.assert_array_equal(file["a/ticks"][:], ticks)
        assert json.loads(file[".stvr"][()])["spec"]["endpoint"] == "Mixed_4c"
    with np.load(tmp_path / "file.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["a/features"], features)
        np.testing.assert_array_equal(file["a/ticks"], ticks)


def test_more_videos_come_to_a_store_of_their_kind_and_none_twice(tmp_path, store):
    other = FeatureStore.create(tmp_path / "other", SPEC, clips_per_shard=4)
    fill(other, "b", 5)
    export_features(other, tmp_path / "file.h5", "hdf5")
    for _ in range(2):
        import_features(tmp_path / "file.h5", store.path)
    assert FeatureStore.open(store.path).videos() == ["a", "b"]
    strange = FeatureStore.create(tmp_path / "strange", replace(SPEC, endpoint="Mixed_5c"))
    with pytest.raises(ValueError, match="endpoint is 'Mixed_5c', not 'Mixed_4c'"):
        import_features(tmp_path / "file.h5", strange.path)


def test_files_of_other_programs_are_refused(tmp_path, store):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["features"] = np.zeros(3)
    np.savez(tmp_path / "other.npz", features=np.zeros(3))
    (tmp_path / "text").write_text("no file of arrays")
    for name in ("other.h5", "other.npz", "text"):
        with pytest.raises(ValueError, match=rf"{name}: wanted .* `stvr store export` made"):
            import_features(tmp_path / name, tmp_path / "again")
    with pytest.raises(FileNotFoundError):
        import_features(tmp_path / "missing", tmp_path / "again")
    with pytest.raises(LookupError, match="Choose one of hdf5, npz"):
        export_features(store, tmp_path / "file", "csv")


@pytest.mark.parametrize("file_format", ["hdf5", "npz"])
def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path, file_format):
    """Peaks of Python's and NumPy's memory, for a video of 2 shards and one of 14, which has 2.4 MB more."""
    peaks = []
    for shards in (2, 14):
        folder = tmp_path / str(shards)
        store = FeatureStore.create(folder / "store", SPEC, clips_per_shard=8)
        maps = np.random.default_rng(0).standard_normal((8, 20, 20, 2, 16)).astype(np.float16)  # 205 KB
        with store.write("a", 8 * shards, maps.shape[1:]) as writer:
            for _ in range(shards):
                writer.append(maps, np.zeros((8, 8), np.int64))
            writer.complete()
        tracemalloc.start()
        export_features(store, folder / "file", file_format)
        import_features(folder / "file", folder / "again")
        quantize(store, folder / "int8", "int8")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1e6


def test_a_head_of_lossless_features_reads_smaller_ones_and_says_so(tmp_path, caplog):
    head = MatchingOptions(**HEAD)
    save_head(tmp_path / "head.safetensors", build_head(head, tiny.SPEC), head, tiny.SPEC, {})
    pairs = write_tiny_pairs(tmp_path / "pairs.json", [tiny.pair("a", "b", "test"), tiny.pair("b", "a", "test")])
    for compress in ("lossless", "int8"):
        caplog.clear()
        store = write_store(tmp_path / compress, replace(tiny.SPEC, compress=compress), videos="ab")
        evaluate(tmp_path / "head.safetensors", store.path, pairs)
        told = [line for line in caplog.messages if "keeps features as int8, the head was trained on lossless" in line]
        assert len(told) == (compress == "int8")


def test_the_commands_tell_the_loss_and_what_a_file_holds(tmp_path, store, stvr):
    ended = stvr("store", "quantize", store.path, "--out", tmp_path / "int8", "--compress", "int8")
    assert ended.status == 0
    loss = FeatureStore.open(tmp_path / "int8").info("a")["loss"]
    assert f"off by {loss['relative']:.1e} of its size, one value by {loss['largest']:.2g}" in ended.out
    assert stvr("store", "export", tmp_path / "int8", "--out", tmp_path / "file.h5").status == 0
    told = json.loads(stvr("info", tmp_path / "file.h5").out)
    assert (told["kind"], told["videos"], told["clips"]) == ("exported store", 1, 10)
    assert told["spec"]["compress"] == "int8"
    assert stvr("store", "import", tmp_path / "file.h5", "--out", tmp_path / "again").status == 0
    assert FeatureStore.open(tmp_path / "again").videos() == ["a"]
    ended = stvr("store", "import", store.path / "zarr.json", "--out", tmp_path / "more")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
