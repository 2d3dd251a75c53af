"""Whatever is broken in a store is named, and computed again without touching the rest."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from clock import Reader, TwoMaps, run, tree, write_clock

from stvr.extract.repair import repair
from stvr.store import FeatureStore, check_all
from stvr.structures import Span


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    """Three videos of 11 clips, three shards each; tmp_path / "good" stays as it is."""
    videos = [write_clock(tmp_path / f"{name}.mp4", 11, 8 + 240 * k) for k, name in enumerate("abc")]
    run(videos, tmp_path / "good", Reader(), flip=True)
    shutil.copytree(tmp_path / "good", tmp_path / "store")
    return FeatureStore.open(tmp_path / "store")


def flip_bit(path: Path, share: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 4
    path.write_bytes(content)


def exchange(store: Path) -> None:
    text = (store / "b/features/zarr.json").read_text()
    (store / "b/features/zarr.json").write_text(text.replace('"float16"', '"float32"'))


FAULTS: dict[str, tuple[Callable[[Path], object], str, list[int | None]]] = {
    "a bit of a chunk": (lambda s: flip_bit(s / "b/features/c/1/0/0/0/0", 0.3), "features", [1]),
    "a bit of the index": (lambda s: flip_bit(s / "b/features/c/0/0/0/0/0", 0.99), "index", [0]),
    "a shard cut short": (lambda s: os.truncate(s / "b/features/c/2/0/0/0/0", 100), "index", [2]),
    "a shard of the mirrored": (lambda s: flip_bit(s / "b/features_flipped/c/2/0/0/0/0", 0.2), "features_flipped", [2]),
    "no shard": (lambda s: (s / "b/features/c/0/0/0/0/0").unlink(), "it is missing", [0]),
    "ticks": (lambda s: flip_bit(s / "b/ticks/c/1/0", 0.7), "ticks", [1]),
    "no ticks": (lambda s: (s / "b/ticks/c/2/0").unlink(), "ticks: it is missing", [2]),
    "two shards": (lambda s: [flip_bit(s / f"b/features/c/{k}/0/0/0/0", 0.5) for k in (0, 2)], "features", [0, 2]),
    "another kind of numbers": (exchange, "features should be", [None]),
    "garbled notes": (lambda s: (s / "b/zarr.json").write_text('{"attributes"'), "garbled", [None]),
    "a garbled array": (lambda s: (s / "b/features/zarr.json").write_text("{"), "", [None]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_broken_and_nothing_else_is_found_and_made_again(tmp_path, store, fault):
    damage, words, shards = FAULTS[fault]
    assert check_all(store).faults == ()
    damage(store.path)
    opened = FeatureStore.open(store.path)
    found = check_all(opened)
    assert [(each.video, each.shard) for each in found.faults] == [("b", shard) for shard in shards]
    assert all(words in each.reason for each in found.faults)
    before = tree(store.path)
    reader = Reader(tmp_path / "log")
    precisions = []
    videos = [tmp_path / f"{name}.mp4" for name in "abc"]
    report = repair(opened, found, videos, lambda precision: precisions.append(precision) or reader)
    assert (report.done, report.failed) == (["b"], {})
    clips = [clip for clip in range(11) if shards == [None] or clip // 4 in shards]
    assert {248 + 8 * clip for clip in clips} <= set(reader.logged())
    assert len(reader.logged()) == 2 * len(clips)  # plain and mirrored
    assert report.clips_computed == len(clips)
    assert precisions == ["float32"]
    after, good = tree(store.path), tree(tmp_path / "good")
    assert [name for name in good if good[name] != after.get(name)] == []
    assert {name: value for name, value in after.items() if not name.startswith("b/")} == {
        name: value for name, value in before.items() if not name.startswith("b/")}
    assert check_all(FeatureStore.open(store.path)).faults == ()


FAULTS_OF_TWO: dict[str, tuple[Callable[[Path], object], str, int | None]] = {
    "a bit of the first map": (lambda b: flip_bit(b / "features.bars/c/1/0/0/0/0", 0.3), "features.bars: ", 1),
    "the index of its last shard": (lambda b: flip_bit(b / "features.bars/c/2/0/0/0/0", 0.99), "its index", 2),
    "a shard of the first map": (lambda b: (b / "features.bars/c/2/0/0/0/0").unlink(), "features.bars: it is", 2),
    "a bit of the second map": (lambda b: flip_bit(b / "features.deep.mean/c/0/0/0/0/0", 0.1), "deep.mean: ", 0),
    "a shard of the second map": (lambda b: (b / "features.deep.mean/c/0/0/0/0/0").unlink(), "deep.mean: it is", 0),
    "its mirrored view": (lambda b: flip_bit(b / "features_flipped.deep.mean/c/2/0/0/0/0", 0.2), "flipped.deep", 2),
    "the whole second map": (lambda b: shutil.rmtree(b / "features.deep.mean"), "no array 'features.deep.mean'", None),
}


@pytest.mark.parametrize("fault", FAULTS_OF_TWO)
def test_every_map_of_a_store_of_two_is_checked_and_mended(tmp_path, fault):
    video, (damage, words, shard) = write_clock(tmp_path / "b.mp4", 11), FAULTS_OF_TWO[fault]
    run([video], tmp_path / "good", TwoMaps(), flip=True)
    shutil.copytree(tmp_path / "good", tmp_path / "store")
    assert check_all(FeatureStore.open(tmp_path / "store")).faults == ()
    damage(tmp_path / "store/b")
    opened = FeatureStore.open(tmp_path / "store")
    found = check_all(opened)
    assert [each.shard for each in found.faults] == [shard]
    assert words in found.faults[0].reason
    report = repair(opened, found, [video], lambda precision: TwoMaps())
    assert (report.done, report.failed) == (["b"], {})
    assert report.clips_computed == {None: 11, 0: 4, 1: 4, 2: 3}[shard]
    assert tree(tmp_path / "store") == tree(tmp_path / "good")


def test_reading_a_broken_shard_says_so(store):
    flip_bit(store.path / "b/features/c/1/0/0/0/0", 0.3)
    store.read(Span("b", 0, 4))
    with pytest.raises(ValueError, match=r"of 'b' in .* are damaged: .*Run `stvr repair`"):
        store.read(Span("b", 4, 8))


def test_what_cannot_be_repaired_stays_as_it_is(tmp_path, store):
    for video in "ab":
        flip_bit(store.path / f"{video}/features/c/1/0/0/0/0", 0.3)
    (tmp_path / "a.mp4").write_bytes(b"another file")
    before, found = tree(store.path), check_all(store)
    report = repair(store, found, [tmp_path / "a.mp4"], lambda precision: Reader())
    assert "a.mp4 is not the file that 'a' was made from" in report.failed["a"]
    assert "the file of 'b' is not among those given" in report.failed["b"]
    assert tree(store.path) == before
    other = Reader()
    other.endpoint = "Mixed_5c"
    reason = r"endpoint is 'bars', not 'Mixed_5c'.* Give the weights that this store was made with"
    with pytest.raises(ValueError, match=reason):
        repair(store, found, [tmp_path / "b.mp4"], lambda precision: other)
    assert tree(store.path) == before


def test_a_repair_that_is_killed_is_finished_by_the_next_extraction(tmp_path, store):
    store.reopen("b", [1])  # and then the power fails
    assert FeatureStore.open(store.path).videos() == ["a", "c"]
    assert check_all(FeatureStore.open(store.path)).unfinished == ("b",)
    videos, reader = [tmp_path / f"{name}.mp4" for name in "abc"], Reader(tmp_path / "log")
    report = run(videos, store.path, reader, flip=True)
    assert (report.done, report.clips_computed, report.clips_reused) == (["b"], 4, 29)
    assert tree(store.path) == tree(tmp_path / "good")


def test_a_store_without_checksums_opens_and_is_reported(tmp_path, store):
    """As older stores are: no codec of an array has a checksum, and no chunk."""
    import zarr
    from zarr.codecs import ZstdCodec

    for name in ("features", "features_flipped"):
        old = zarr.open_array(store.path / "b" / name, mode="r")
        values, axes = np.asarray(old[:]), old.metadata.dimension_names
        shutil.rmtree(store.path / "b" / name)
        zarr.create_array(store.path / "b" / name, data=values, chunks=(1, *values.shape[1:]), fill_value=0,
                          shards=(4, *values.shape[1:]), compressors=ZstdCodec(level=1), dimension_names=axes)
    opened = FeatureStore.open(store.path)
    found = check_all(opened)
    assert (found.faults, found.unsigned) == ((), ("b",))
    good = FeatureStore.open(tmp_path / "good")
    assert torch.equal(opened.read(Span("b", 0, 11)), good.read(Span("b", 0, 11)))


def test_the_command_names_what_is_broken_and_repairs_it(tmp_path, stvr):
    write_clock(tmp_path / "a.mp4", 3)
    words = ("extract", tmp_path / "a.mp4", "--store", tmp_path / "s", "--image-size", 64, "--endpoint",
             "Conv3d_1a_7x7")
    assert stvr(*words).status == 0
    sound = tree(tmp_path / "s")
    assert stvr("verify", tmp_path / "s").out == f"{tmp_path / 's'}: 1 complete videos, 0 faults\n"
    flip_bit(tmp_path / "s/a/features/c/0/0/0/0/0", 0.4)
    result = stvr("verify", tmp_path / "s")
    assert result.status == 1
    assert result.out.startswith("a, shard 0: features: ")
    assert f"run `stvr repair {tmp_path / 's'} VIDEOS`" in result.err
    result = stvr("repair", tmp_path / "s", tmp_path)
    assert result.status == 0
    assert result.out == f"{tmp_path / 's'}: 1 videos repaired (3 clips computed, 0 kept), 0 failed\n"
    assert tree(tmp_path / "s") == sound
    assert stvr("verify", tmp_path / "s").status == 0
    assert stvr("repair", tmp_path / "s", tmp_path).out == f"{tmp_path / 's'}: nothing is broken\n"
    result = stvr("verify", tmp_path / "nowhere")
    assert (result.status, result.err.count("\n")) == (2, 1)


def test_a_video_computed_in_another_precision_is_not_continued(tmp_path):
    """Precision may differ between the videos of a store, so it is not in its spec but noted with each video."""
    video, other = write_clock(tmp_path / "a.mp4", 6), Reader()
    run([video], tmp_path / "store", Reader())
    other.precision = "bfloat16"
    reason = run([video], tmp_path / "store", other).failed["a"]
    assert "computed in float32, not in bfloat16. Give --precision float32 or another --store" in reason
    FeatureStore.open(tmp_path / "store").reopen("a", [1])
    reason = run([video], tmp_path / "store", other).failed["a"]
    assert re.search(r"part of 'a' is there, made from a\.mp4 .* in float32, not from a\.mp4 .* in bfloat16", reason)
    assert run([video], tmp_path / "store", Reader()).clips_computed == 2


@pytest.mark.parametrize(("name", "value"), [
    ("decoder", "torchcodec"), ("frame_times", "ffmpeg"), ("resize", "tf1"), ("colour_order", "BGR"),
    ("weights_digest", "01"), ("dtype", "float32"),
])  # fmt: skip
def test_a_store_made_in_another_way_is_refused_with_what_differs(tmp_path, name, value):
    video = write_clock(tmp_path / "a.mp4", 1)
    run([video], tmp_path / "store", Reader())
    values = json.loads((tmp_path / "store" / "zarr.json").read_text())
    values["attributes"]["stvr"]["spec"][name] = value
    (tmp_path / "store" / "zarr.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=f"holds other features: its {name} is '{value}', not "):
        run([video], tmp_path / "store", Reader())
