"""Features kept smaller lose as much as stated and no more; a store survives the way to another format and back."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tiny
import torch
from filled import SHAPE, SPEC, TWO, WHOLE, clips, companions, deep, fill
from tiny import HEAD, write_store, write_tiny_pairs

from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import save_head
from stvr.jobs.evaluate import evaluate
from stvr.store import FeatureStore, check
from stvr.store.codes import CODES, decode, encode
from stvr.store.exchange import describe_export, export_features, import_features, is_export
from stvr.store.quantize import quantize
from stvr.structures import MapSpec, Span


def every_float16() -> np.ndarray:
    """All 63,488 finite float16 numbers, as maps of 31 channels."""
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return values[np.isfinite(values)].reshape(4, 8, 16, 4, 31)


def test_bits7_gives_the_nearest_numbers_with_seven_bits():
    """Against torch, whose bfloat16 has seven bits too, over float16's normal numbers."""
    values = every_float16()
    coded = encode(values, "bits7")[""]
    rounded = torch.from_numpy(values).float().bfloat16().float().numpy()
    normal = (np.abs(values) >= 2.0**-14) & (np.abs(rounded) <= 65504)
    np.testing.assert_array_equal(coded[normal].astype(np.float32), rounded[normal])
    assert np.isfinite(coded).all()
    assert np.abs(coded.astype(np.float64) - values)[~normal & (np.abs(values) < 1)].max() <= 2.0**-22
    np.testing.assert_array_equal(np.signbit(coded), np.signbit(values))


def test_int8_is_off_by_at_most_half_a_step_of_its_channel():
    maps = np.random.default_rng(0).normal(0, [[0.01, 1, 100, 5]], (3, 5, 4, 2, 4)).astype(np.float16)
    maps[..., 3] = 0.25  # a constant channel is kept exactly
    parts = encode(maps, "int8")
    assert (parts[""].dtype, parts["levels"].shape) == (np.uint8, (3, 2, 4))
    read = decode(parts, "int8").astype(np.float64)
    for clip in range(3):
        for channel in range(4):
            original = maps[clip, ..., channel].astype(np.float64)
            bound = (original.max() - original.min()) / 510 + np.abs(original).max() * 2.0**-11
            assert np.abs(read[clip, ..., channel] - original).max() <= bound * 1.001
    np.testing.assert_array_equal(read[..., 3], 0.25)


def test_the_zeros_of_a_relu_stay_zeros():
    maps = np.maximum(np.random.default_rng(0).standard_normal((2, 5, 4, 2, 8)), 0).astype(np.float16)
    for name in CODES:
        assert (decode(encode(maps, name), name)[maps == 0] == 0).all()


@pytest.mark.parametrize("compress", ["bits7", "int8"])
def test_a_compressing_store_keeps_what_the_code_says(tmp_path, compress):
    store = FeatureStore.create(tmp_path / "store", replace(WHOLE, compress=compress), clips_per_shard=4)
    fill(store, "a", 10)
    again = FeatureStore.open(tmp_path / "store")
    for flipped, maps in ((False, clips(3, 9)[0]), (True, companions(3, 9)[1])):
        read = again.read(Span("a", 3, 9), flipped)
        assert read.dtype == torch.float16
        expected = decode(encode(maps, compress), compress)
        np.testing.assert_array_equal(read.numpy(), expected)
        assert 0 < np.linalg.norm((expected - maps).astype(float)) < 0.01 * np.linalg.norm(maps.astype(float))
    np.testing.assert_array_equal(again.read_flow(Span("a", 3, 9)).numpy(), companions(3, 9)[0])
    assert check(again, "a") == []


def test_the_loss_that_is_reported_is_the_loss(tmp_path):
    source = FeatureStore.create(tmp_path / "store", WHOLE, clips_per_shard=4)
    for video, count in (("a", 10), ("b", 3)):
        fill(source, video, count)
    for compress in ("bits7", "int8"):
        losses = quantize(source, tmp_path / compress, compress)
        store = FeatureStore.open(tmp_path / compress)
        assert store.videos() == ["a", "b"]
        assert store.spec == replace(WHOLE, compress=compress)
        original = np.concatenate([clips(0, 10)[0], companions(0, 10)[1]]).astype(np.float64)
        span = Span("a", 0, 10)
        error = torch.cat([store.read(span), store.read(span, flipped=True)]).double().numpy() - original
        assert losses["a"].relative == pytest.approx(np.linalg.norm(error) / np.linalg.norm(original), rel=1e-6)
        assert losses["a"].largest == pytest.approx(np.abs(error).max())
        assert losses["a"].largest_value == np.abs(original).max()
        np.testing.assert_array_equal(store.ticks("a"), source.ticks("a"))
        np.testing.assert_array_equal(store.read_flow(span), source.read_flow(span))
        notes = {name: value for name, value in store.info("a").items() if name != "loss"}
        assert notes == source.info("a")


def test_every_map_of_a_store_is_coded_and_its_loss_counted(tmp_path):
    source = FeatureStore.create(tmp_path / "store", TWO, clips_per_shard=4)
    fill(source, "a", 10)
    losses, span = quantize(source, tmp_path / "int8", "int8"), Span("a", 0, 10)
    store = FeatureStore.open(tmp_path / "int8")
    assert store.spec == replace(TWO, compress="int8")
    original = {("Mixed_4c", False): clips(0, 10)[0], ("Mixed_4c", True): companions(0, 10)[1],
                **{("Mixed_5c.mean", bool(view)): maps for view, maps in enumerate(deep(0, 10))}}
    errors = [store.read(span, flipped, name).double().numpy() - maps for (name, flipped), maps in original.items()]
    sizes = [np.square(maps.astype(np.float64)).sum() for maps in original.values()]
    relative = np.sqrt(sum(np.square(error).sum() for error in errors) / sum(sizes))
    assert losses["a"].relative == pytest.approx(relative, rel=1e-6)
    assert losses["a"].largest == pytest.approx(max(np.abs(error).max() for error in errors))
    for (name, flipped), maps in original.items():
        expected = decode(encode(maps, "int8"), "int8")
        np.testing.assert_array_equal(store.read(span, flipped, name).numpy(), expected)
    assert check(store, "a") == []


def test_lossless_is_a_copy(tmp_path, store):
    losses = quantize(store, tmp_path / "copy", "lossless")
    assert (losses["a"].relative, losses["a"].largest) == (0, 0)
    np.testing.assert_array_equal(FeatureStore.open(tmp_path / "copy").read(Span("a", 0, 10)), clips(0, 10)[0])


def test_a_second_loss_is_refused(tmp_path, store):
    quantize(store, tmp_path / "smaller", "bits7")
    with pytest.raises(ValueError, match="already kept as bits7"):
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


@pytest.mark.parametrize("kept", [WHOLE, TWO], ids=["one endpoint", "two"])
@pytest.mark.parametrize("compress", list(CODES))
@pytest.mark.parametrize("file_format", ["hdf5", "npz"])
def test_after_export_and_import_every_file_is_equal_bit_for_bit(tmp_path, file_format, compress, kept):
    spec = replace(kept, compress=compress)
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


def test_other_libraries_can_read_the_files(tmp_path, store):
    export_features(store, tmp_path / "file.h5", "hdf5")
    export_features(store, tmp_path / "file.npz", "npz")
    features, ticks = clips(0, 10)
    with h5py.File(tmp_path / "file.h5") as file:
        np.testing.assert_array_equal(file["a/features"][:], features)
        assert file["a/features"].chunks == (1, *SHAPE)
        np.testing.assert_array_equal(file["a/ticks"][:], ticks)
        assert json.loads(file[".stvr"][()])["spec"]["maps"] == {"Mixed_4c": {"stride": 16, "steps": 2, "channels": 5}}
    with np.load(tmp_path / "file.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["a/features"], features)
        np.testing.assert_array_equal(file["a/ticks"], ticks)


def test_videos_are_imported_into_a_store_of_their_kind_and_none_twice(tmp_path, store):
    other = FeatureStore.create(tmp_path / "other", SPEC, clips_per_shard=4)
    fill(other, "b", 5)
    export_features(other, tmp_path / "file.h5", "hdf5")
    for _ in range(2):
        import_features(tmp_path / "file.h5", store.path)
    assert FeatureStore.open(store.path).videos() == ["a", "b"]
    strange = FeatureStore.create(tmp_path / "strange", replace(SPEC, maps=(MapSpec("Mixed_5c", 32, 1, 5),)))
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
    with pytest.raises(FileNotFoundError, match="missing does not exist"):
        import_features(tmp_path / "missing", tmp_path / "again")
    with pytest.raises(FileNotFoundError, match=r"store is a folder\. Name a file that `stvr store export` made"):
        import_features(store.path, tmp_path / "again")
    with pytest.raises(LookupError, match="Choose one of hdf5, npz"):
        export_features(store, tmp_path / "file", "csv")


@pytest.mark.parametrize("file_format", ["hdf5", "npz"])
def test_a_damaged_file_is_refused_by_name(tmp_path, store, file_format):
    export_features(store, tmp_path / "file", file_format)
    if file_format == "hdf5":
        with h5py.File(tmp_path / "file") as file:
            chunk = file["a/features"].id.get_chunk_info(3)
        place = chunk.byte_offset + chunk.size // 2
    else:
        with zipfile.ZipFile(tmp_path / "file") as file:
            member = file.getinfo("a/features.npy")
        place = member.header_offset + member.compress_size // 2
    content = bytearray((tmp_path / "file").read_bytes())
    content[place] ^= 0xFF
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=r"file is damaged: a/features cannot be read \(.+\)\. Export the store again"):
        import_features(tmp_path / "file", tmp_path / "again")
    (tmp_path / "file").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"file( is damaged: .+ Export the store again|: wanted an HDF5 or npz file)"):
        import_features(tmp_path / "file", tmp_path / "another")


@pytest.mark.parametrize("file_format", ["hdf5", "npz"])
def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path, file_format):
    """Peaks of Python's and NumPy's memory, for a video of 2 shards and one of 14, which is 2.4 MB larger."""
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
        notes = [line for line in caplog.messages if "keeps features as int8, the head was trained on lossless" in line]
        assert len(notes) == (compress == "int8")


def test_the_commands_show_the_loss_and_what_a_file_holds(tmp_path, store, stvr):
    result = stvr("store", "quantize", store.path, "--out", tmp_path / "int8", "--compress", "int8")
    assert result.status == 0
    loss = FeatureStore.open(tmp_path / "int8").info("a")["loss"]
    assert f"off by {loss['relative']:.1e} of its size, one value by {loss['largest']:.2g}" in result.out
    assert stvr("store", "export", tmp_path / "int8", "--out", tmp_path / "file.h5").status == 0
    info = json.loads(stvr("info", tmp_path / "file.h5").out)
    assert (info["kind"], info["videos"], info["clips"]) == ("exported store", 1, 10)
    assert info["spec"]["compress"] == "int8"
    assert stvr("store", "import", tmp_path / "file.h5", "--out", tmp_path / "again").status == 0
    assert FeatureStore.open(tmp_path / "again").videos() == ["a"]
    result = stvr("store", "import", store.path / "zarr.json", "--out", tmp_path / "more")
    assert (result.status, result.err.count("\n")) == (2, 1)
