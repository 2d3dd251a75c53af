"""What was written is read back; a video that was cut short is not there."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filled import DEEP_SHAPE, SHAPE, SPEC, TWO, WHOLE, clips, companions, deep, fill

from stvr.store import FeatureStore, check, check_all
from stvr.store.places import Folder
from stvr.structures import ClipSpec, MapSpec, Span

DEEP = (MapSpec("Mixed_5c", 32, 1, 5),)


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    return FeatureStore.create(tmp_path / "store", SPEC, clips_per_shard=4)


def test_what_was_written_is_read_back_bit_for_bit(store):
    fill(store, "a", 10)
    features, ticks = clips(0, 10)
    again = FeatureStore.open(store.path)
    assert again.spec == SPEC
    assert again.spec.weights == "rgb.safetensors"
    read = again.read(Span("a", 3, 9))
    assert read.dtype == torch.float16
    np.testing.assert_array_equal(read.numpy(), features[3:9])
    np.testing.assert_array_equal(again.ticks("a"), ticks)
    assert again.num_clips("a") == 10
    assert again.info("a") | {"digest": "a", "note": "made by hand", "state": "complete"} == again.info("a")


def test_flow_and_the_other_view_are_read_back_bit_for_bit(tmp_path):
    store = FeatureStore.create(tmp_path / "store", WHOLE, clips_per_shard=4)
    fill(store, "a", 10)
    again, span, (flow, flipped) = FeatureStore.open(store.path), Span("a", 3, 9), companions(3, 9)
    assert again.spec == WHOLE
    assert again.read_flow(span).dtype == torch.float16
    np.testing.assert_array_equal(again.read_flow(span).numpy(), flow)
    np.testing.assert_array_equal(again.read(span).numpy(), clips(3, 9)[0])
    np.testing.assert_array_equal(again.read(span, flipped=True).numpy(), flipped)
    mirrored = again.read_flow(span, flipped=True).numpy()
    for column in (0, 1):  # what moved down still does, what moved right moves left, on the other side
        np.testing.assert_array_equal(mirrored[:, :, column, 0], flow[:, :, 1 - column, 0])
        np.testing.assert_array_equal(mirrored[:, :, column, 1], -flow[:, :, 1 - column, 1])
    with pytest.raises(LookupError, match=r"'a' has 10 clips here, not \[9, 11\)"):
        again.read_flow(Span("a", 9, 11))


@pytest.fixture
def both(tmp_path) -> FeatureStore:
    """Two maps of one video, with flow and mirrored views."""
    store = FeatureStore.create(tmp_path / "both", TWO, clips_per_shard=4)
    fill(store, "a", 10)
    return FeatureStore.open(store.path)


def test_every_map_of_a_store_is_read_by_its_endpoint(both):
    span = Span("a", 3, 9)
    assert both.spec == TWO
    np.testing.assert_array_equal(both.read(span, endpoint="Mixed_5c.mean").numpy(), deep(3, 9)[0])
    np.testing.assert_array_equal(both.read(span, True, "Mixed_4c").numpy(), companions(3, 9)[1])
    read = both.read_features(span).maps
    assert list(read) == ["Mixed_4c", "Mixed_5c.mean"]
    np.testing.assert_array_equal(read["Mixed_4c"].numpy(), clips(3, 9)[0].astype(np.float32).reshape(6, 3, 2, 10))
    np.testing.assert_array_equal(read["Mixed_5c.mean"].numpy(), deep(3, 9)[0].astype(np.float32).reshape(6, 1, 1, 7))
    assert both.read_flow(span).shape == (6, 3, 2, 2)  # on the grid of the finest map
    with pytest.raises(ValueError, match=r"wanted features of one endpoint, got Mixed_4c,Mixed_5c\.mean"):
        both.read(span)
    with pytest.raises(LookupError, match=r"no features of Mixed_4f, only of Mixed_4c, Mixed_5c\.mean"):
        both.read(span, endpoint="Mixed_4f")
    assert check(both, "a") == []


def test_a_store_can_be_read_as_one_of_some_of_its_maps(both):
    part, span = both.only(["Mixed_5c.mean"]), Span("a", 0, 10)
    assert part.spec == TWO.only(["Mixed_5c.mean"])
    np.testing.assert_array_equal(part.read(span).numpy(), deep(0, 10)[0])
    np.testing.assert_array_equal(part.read_flow(span).numpy(), companions(0, 10)[0])
    assert list(part.read_features(span, flipped=True).maps) == ["Mixed_5c.mean"]
    with pytest.raises(LookupError, match="no features of Mixed_4c, only of"):
        part.read(span, endpoint="Mixed_4c")
    with pytest.raises(LookupError, match="no features of Mixed_4f"):
        both.only(["Mixed_4f"])


def test_a_spec_of_some_maps_is_that_of_a_store_of_them_alone():
    assert TWO.only(["Mixed_4c"]) == WHOLE
    assert TWO.finest == SPEC.map
    assert TWO.only(["Mixed_5c.mean", "Mixed_4c"]).differences(TWO) == []
    other = replace(TWO, weights_digest="1f0c,77")
    assert other.differences(TWO) == ["weights_digest of Mixed_5c.mean is '77', not '5c5c'"]
    assert other.only(["Mixed_4c"]).differences(TWO.only(["Mixed_4c"])) == []
    assert len(TWO.differences(replace(TWO, maps=(SPEC.map, MapSpec("Mixed_5c.mean", 64, 2, 7))))) == 1
    with pytest.raises(ValueError, match=r"wanted the digest of the weights up to each of Mixed_4c,Mixed_5c\.mean"):
        replace(TWO, weights_digest="1f0c")


def test_an_endpoint_may_have_any_name(tmp_path):
    spec = replace(SPEC, maps=(MapSpec("blocks.2/norm:0", 16, 2, 5), MapSpec("Mixed_5c.mean", 64, 1, 7)),
                   weights_digest="a,b")
    store = FeatureStore.create(tmp_path / "store", spec, clips_per_shard=4)
    fill(store, "a", 5)
    np.testing.assert_array_equal(store.read(Span("a", 0, 5), endpoint="blocks.2/norm:0").numpy(), clips(0, 5)[0])
    assert sorted(path.name for path in (tmp_path / "store/a").iterdir() if path.is_dir()) == [
        "features.Mixed_5c.mean", "features.blocks.2%2Fnorm%3A0", "ticks",
    ]


def test_maps_that_do_not_belong_to_the_spec_are_refused(both, store):
    with pytest.raises(ValueError, match=r"wanted features of one endpoint, got Mixed_4c,Mixed_5c"), \
            both.write("b", 4, SHAPE):
        pass
    with both.write("b", 4, {"Mixed_4c": SHAPE, "Mixed_5c.mean": DEEP_SHAPE}) as writer, \
            pytest.raises(ValueError, match=r"wanted Mixed_4c,Mixed_5c\.mean, got Mixed_4c\. Give each"):
        writer.append({"Mixed_4c": clips(0, 4)[0]}, clips(0, 4)[1])


def test_a_folder_of_stores_of_an_earlier_release_names_them(tmp_path):
    for name in ("Mixed_4c", "Mixed_5c"):
        FeatureStore.create(tmp_path / "all" / name, replace(SPEC, maps=(MapSpec(name, 16, 2, 5),)))
    for attempt in (FeatureStore.open, lambda path: FeatureStore.open_or_create(path, TWO)):
        with pytest.raises(FileNotFoundError, match=r"a store for each endpoint, .*: Mixed_4c, Mixed_5c\. Name one"):
            attempt(tmp_path / "all")
    assert FeatureStore.open(tmp_path / "all/Mixed_5c").spec.endpoint == "Mixed_5c"


def test_a_store_says_how_to_get_what_it_does_not_have(store):
    fill(store, "a", 5)
    with pytest.raises(LookupError, match=r"has no flow\. Extract with --flow ilk"):
        store.read_flow(Span("a", 0, 1))
    with pytest.raises(LookupError, match=r"has no features of mirrored frames\. Extract with --flip"):
        store.read(Span("a", 0, 1), flipped=True)


def test_clips_without_what_the_spec_names_are_refused(tmp_path, store):
    both = FeatureStore.create(tmp_path / "both", WHOLE, clips_per_shard=4)
    with both.write("a", 8, SHAPE) as writer:
        with pytest.raises(ValueError, match=r"wants ticks .*, flow \(N, 3, 2, 2\), features_flipped .*; got"):
            writer.append(*clips(0, 4))
        with pytest.raises(ValueError, match=r"got .*flow \(3, 3, 2, 2\)"):
            writer.append(*clips(0, 4), companions(0, 3)[0], companions(0, 4)[1])
    with store.write("a", 8, SHAPE) as writer, pytest.raises(ValueError, match="wants ticks"):
        writer.append(*clips(0, 4), *companions(0, 4))


@pytest.mark.parametrize(("spec", "reason"), [
    (replace(WHOLE, flow="none"), "its flow is 'ilk at 64 px', not 'none'. Give another --store"),
    (replace(WHOLE, flow="tvl1 at 64 px"), "its flow is 'ilk at 64 px', not 'tvl1 at 64 px'"),
    (replace(WHOLE, flipped=False), "its flipped is True, not False"),
])
def test_a_store_with_other_flow_or_views_is_refused_with_the_reason(tmp_path, spec, reason):
    FeatureStore.create(tmp_path / "store", WHOLE)
    with pytest.raises(ValueError, match="holds other features") as error:
        FeatureStore.open_or_create(tmp_path / "store", spec)
    assert reason in str(error.value)


def test_fields_that_do_not_matter_make_no_difference():
    assert len(WHOLE.differences(SPEC)) == 2
    assert WHOLE.differences(SPEC, {"flow", "flipped"}) == []
    assert len(WHOLE.differences(replace(SPEC, maps=DEEP), {"flow", "flipped"})) == 1


def test_a_store_from_before_there_was_flow_opens(store):
    fill(store, "a", 5)
    values = json.loads((store.path / "zarr.json").read_text())
    for name in ("flow", "flipped"):
        del values["attributes"]["stvr"]["spec"][name]
    (store.path / "zarr.json").write_text(json.dumps(values))
    again = FeatureStore.open(store.path)
    assert again.spec == SPEC
    np.testing.assert_array_equal(again.read(Span("a", 0, 5)).numpy(), clips(0, 5)[0])


def test_only_complete_videos_are_there(store):
    fill(store, "b", 5)
    fill(store, "a", 5)
    with store.write("c", 10, SHAPE) as writer:
        writer.append(*clips(0, 9))
    assert store.videos() == ["a", "b"]
    assert ["a" in store, "c" in store, "d" in store] == [True, False, False]
    for absent in ("c", "d"):
        with pytest.raises(LookupError, match=rf"'{absent}' is not in this store. Run `stvr extract` on it first."):
            store.read(Span(absent, 0, 1))


def test_a_span_beyond_the_end_is_refused(store):
    fill(store, "a", 5)
    with pytest.raises(LookupError, match=r"'a' has 5 clips here, not \[3, 6\)"):
        store.read(Span("a", 3, 6))


def test_the_files_are_laid_out_as_promised(store):
    fill(store, "a", 10)
    with (store.path / "a" / "features" / "zarr.json").open() as file:
        features = json.load(file)
    assert features["shape"] == [10, *SHAPE]
    assert features["data_type"] == "float16"
    assert features["dimension_names"] == ["clip", "row", "column", "time", "channel"]
    assert features["chunk_grid"]["configuration"]["chunk_shape"] == [4, *SHAPE]  # a shard
    (sharding,) = features["codecs"]
    assert sharding["configuration"]["chunk_shape"] == [1, *SHAPE]
    assert [codec["name"] for codec in sharding["configuration"]["codecs"]] == ["bytes", "zstd"]
    assert sharding["configuration"]["codecs"][1]["configuration"]["level"] == 1
    assert sorted(path.name for path in (store.path / "a").iterdir()) == ["features", "ticks", "zarr.json"]
    assert sharding["configuration"]["codecs"][1]["configuration"]["checksum"] is True
    assert sorted(path.name for path in store.path.iterdir()) == [".complete", "a", "zarr.json"]  # no claims left


def test_a_store_of_another_spec_is_refused_with_what_differs(store):
    other = replace(SPEC, maps=DEEP, weights="flow", weights_digest="77", clip=ClipSpec(image_size=320))
    with pytest.raises(ValueError, match="holds other features") as error:
        FeatureStore.open_or_create(store.path, other)
    for difference in ("'Mixed_4c', not 'Mixed_5c'", "'1f0c', not '77'", "image_size is 64, not 320"):
        assert difference in str(error.value)
    assert "backbone" not in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_of_another_name_but_the_same_content_are_the_same(store):
    assert SPEC.differences(replace(SPEC, weights="renamed")) == []
    assert FeatureStore.open_or_create(store.path, replace(SPEC, weights="renamed")).spec == SPEC


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        FeatureStore.open_or_create(tmp_path, SPEC)
    with pytest.raises(FileNotFoundError, match="there is no feature store"):
        FeatureStore.open(tmp_path)


def test_a_shard_of_zeros_counts_as_written(store):
    with store.write("a", 12, SHAPE) as writer:
        writer.append(np.zeros((8, *SHAPE), np.float16), np.zeros((8, 8), np.int64))
    with store.write("a", 12, SHAPE) as writer:
        assert writer.next_clip == 8


def test_clips_of_an_unfinished_shard_are_wanted_again(store):
    with store.write("a", 12, SHAPE) as writer:
        writer.append(*clips(0, 7))
    with store.write("a", 12, SHAPE) as writer:
        assert writer.next_clip == 4


def test_a_video_that_ends_early_is_cut(store):
    fill(store, "a", 6, planned=11)
    assert store.num_clips("a") == 6
    np.testing.assert_array_equal(store.read(Span("a", 0, 6)).numpy(), clips(0, 6)[0])
    assert store.ticks("a").shape == (6, 8)


def test_half_a_video_from_another_file_is_not_continued(store):
    with store.write("a", 12, SHAPE, {"digest": "x", "source": "old.mp4"}) as writer:
        writer.append(*clips(0, 4))
    with (
        pytest.raises(ValueError, match=r"old\.mp4 with digest x and 12 clips, not from new\.mp4 with digest y"),
        store.write("a", 12, SHAPE, {"digest": "y", "source": "new.mp4"}),
    ):
        pass


def test_maps_of_another_shape_are_refused(store):
    with store.write("a", 12, SHAPE) as writer:
        with pytest.raises(ValueError, match=r"wants ticks \(N, 8\), features \(N, 3, 2, 2, 5\); got"):
            writer.append(np.zeros((2, 1, 1, 1, 1), np.float16), np.zeros((2, 8), np.int64))
        with pytest.raises(ValueError, match="room for 12 more clips, not for 13"):
            writer.append(*clips(0, 13))
        with pytest.raises(ValueError, match="has no clips yet"):
            writer.complete()


@pytest.mark.parametrize("name", [
    ".hidden", "__reserved", "a/b", "..", "zarr.json", "a%2Fb", "%252F", "my%20clip", "100%", "%", "é ü",
])  # fmt: skip
def test_a_video_of_any_name_is_kept_under_it(store, name):
    others = ["a", "b", "zarr", "hidden"]
    for each in (name, *others):
        fill(store, each, 4)
    again = FeatureStore.open(store.path)
    assert again.videos() == sorted([name, *others])
    assert name in again
    np.testing.assert_array_equal(again.read(Span(name, 1, 3)).numpy(), clips(1, 3)[0])
    again.quarantine(name, "broken", "00")
    assert again.failed() == {name: "broken"}
    assert check_all(again).faults == ()
    assert check_all(again).complete == 5
    inside = Path(str(store.path)).resolve()
    assert {path.name for path in inside.parent.iterdir()} == {"store"}  # nothing is written outside
    again.reopen(name)
    assert name not in FeatureStore.open(store.path)


def test_a_name_that_an_older_release_kept_in_another_unicode_form_is_found(store):
    with store.write("cafe", 13, SHAPE) as writer:
        writer.append(*clips(0, 13))
        writer.complete()
    (store.path / "cafe").rename(store.path / "cafe\u0301")  # as a Mac spells it
    (store.path / ".complete/cafe").rename(store.path / ".complete/cafe\u0301")
    again = FeatureStore.open(store.path)
    assert again.videos() == ["caf\u00e9"]
    for name in ("caf\u00e9", "cafe\u0301"):
        assert name in again
        assert again.read(Span(name, 0, 13)).shape[0] == 13


def test_a_video_without_a_name_is_refused(store):
    with pytest.raises(ValueError, match="without a name"), store.write("", 1, SHAPE):
        pass


def test_a_video_has_one_writer(store):
    with (
        store.write("a", 4, SHAPE),
        pytest.raises(ValueError, match=f"'a' is being written by process {os.getpid()} on "),
        store.write("a", 4, SHAPE),
    ):
        pass
    fill(store, "a", 4)
    with pytest.raises(ValueError, match="is complete"), store.write("a", 4, SHAPE):
        pass


def die_while_writing(path: Path) -> None:
    with FeatureStore.open(path).write("a", 4, SHAPE):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_writer_that_died_holds_nothing(store):
    process = multiprocessing.get_context("fork").Process(target=die_while_writing, args=(store.path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (store.path / ".claims" / "a").exists()
    fill(store, "a", 4)
    assert "a" in store


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, nothing cleans up."""


@pytest.mark.parametrize("spec", [SPEC, WHOLE, TWO], ids=["plain", "flow and both views", "two endpoints"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("num_clips", "planned"), [(10, 10), (6, 11)], ids=["whole", "ends early"])
def test_a_kill_at_any_write_leaves_a_store_that_can_be_finished(
    tmp_path, monkeypatch, spec, when, num_clips, planned
):
    expected, kills = clips(0, num_clips), 0
    while True:
        path, left = tmp_path / f"store{kills}", kills
        rename = Path.replace

        def killed(source, target, rename=rename):
            nonlocal left
            left -= 1
            if left < 0 and when == "before":
                raise Killed
            result = rename(source, target)
            if left < 0:
                raise Killed
            return result

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            try:
                fill(FeatureStore.open_or_create(path, spec, clips_per_shard=4), "a", num_clips, planned)
                break
            except Killed:
                pass
        store = FeatureStore.open_or_create(path, spec, clips_per_shard=4)
        if "a" not in store:
            fill(store, "a", num_clips, planned)
        assert store.num_clips("a") == num_clips
        span = Span("a", 0, num_clips)
        np.testing.assert_array_equal(store.read(span, endpoint="Mixed_4c").numpy(), expected[0])
        np.testing.assert_array_equal(store.ticks("a"), expected[1])
        if spec.flipped:
            flow, flipped = companions(0, num_clips)
            np.testing.assert_array_equal(store.read_flow(span).numpy(), flow)
            np.testing.assert_array_equal(store.read(span, True, "Mixed_4c").numpy(), flipped)
        if spec is TWO:
            for view, maps in enumerate(deep(0, num_clips)):
                np.testing.assert_array_equal(store.read(span, bool(view), "Mixed_5c.mean").numpy(), maps)
        kills += 1
    assert kills >= 10  # root, group, two arrays, two writes for each shard, completion


def test_a_shard_that_is_gone_is_not_read_as_zeros(store):
    fill(store, "a", 10)
    (store.path / "a" / "features" / "c" / "0" / "0" / "0" / "0" / "0").unlink()
    with pytest.raises(ValueError, match=r"shard 0 of features is missing\. Run `stvr repair`"):
        store.read(Span("a", 0, 2))


def test_an_array_that_is_gone_is_named(store):
    fill(store, "a", 10)
    shutil.rmtree(store.path / "a" / "features")
    with pytest.raises(ValueError, match="no array 'features'"):
        FeatureStore.open(store.path).read(Span("a", 0, 2))


def test_a_note_is_written_though_another_process_tidies(tmp_path, monkeypatch):
    place, rename, tidied = Folder(tmp_path), Path.replace, []

    def replace_late(partial, target):
        if not tidied:
            tidied.append(place.tidy("."))
        return rename(partial, target)

    monkeypatch.setattr(Path, "replace", replace_late)
    place.write("note.json", b"{}")
    assert [each.name for each in tmp_path.iterdir()] == ["note.json"]
    assert tidied == [None]
