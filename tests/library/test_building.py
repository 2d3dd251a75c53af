"""An index grows and shrinks with its library; it is the same however it was made, and whatever was killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from shelf import files_below, lively, shelf_of, write_shelf

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.library import Index, build_index, remove_videos
from stvr.session import Session
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Query

ROOT = Path(__file__).parents[2]
ALL = "windows+grid+tubes,whiten,nnn,flat"


def quiet(*nothing: object) -> None:
    pass


def built(sources, out, **options):
    return build_index(sources, out, report=quiet, tell=quiet, **options)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("shelf") / "store"
    write_shelf(path, shelf_of(6))
    return path


def test_every_video_of_a_store_is_in_it_with_what_was_noted(tmp_path, shelf):
    report = built([shelf], tmp_path / "index", composition=ALL)
    index = Index.open(tmp_path / "index", FeatureStore.open(shelf).spec)
    assert report.added == [each.name for each in index.videos] == [f"video{number:02}" for number in range(6)]
    assert (report.num_videos, report.num_rows) == (6, len(index))
    assert {(each.num_clips, each.seconds, each.width) for each in index.videos} == {(12, 4.0, 128)}
    assert [each.path for each in index.videos] == report.added  # no file is known
    assert [each.num_rows for each in index.videos] == np.bincount(index.rows.video).tolist()
    assert sum(index.rows.kind == 0) == 6 * 3 * 10  # three windows each, the picture and nine quarters


def test_the_statistics_of_a_store_are_kept_and_a_query_finds_its_own_place_first(tmp_path, shelf):
    built([shelf], tmp_path / "index", composition="grid,whiten,flat")
    index = Index.open(tmp_path / "index")
    session = Session.open(index.head_file, store=index.store, device="cpu")
    query = session.query("video03", (0.5, 0.25, 1.0, 0.75), at=2.0, span=(1.0, 3.0))  # clips 3 to 8
    places, scores = index.best(index.describe(query), 2)
    row = places[0]
    assert (index.videos[index.rows.video[row]].name, index.rows.start[row], index.rows.stop[row]) == ("video03", 3, 9)
    np.testing.assert_allclose(index.rows.box[row], (0.5, 0.25, 1.0, 0.75), atol=1e-6)
    assert scores[0] > 0.999 > scores[1]


def test_a_query_of_another_head_is_refused(tmp_path, shelf):
    built([shelf], tmp_path / "index")
    with pytest.raises(ValueError, match="was not pooled by the head 'nearest'"):
        Index.open(tmp_path / "index").describe(Query((), np.zeros(3)))


def test_several_workers_make_the_same_bytes(tmp_path, shelf):
    built([shelf], tmp_path / "one", composition=ALL)
    built([shelf], tmp_path / "several", composition=ALL, workers=2)
    assert files_below(tmp_path / "one") == files_below(tmp_path / "several")


@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_worker_are_refused_before_anything_is_written(tmp_path, shelf, workers):
    with pytest.raises(ValueError, match=f"^{workers} workers extract nothing. Give 1 or more.$"):
        built([shelf], tmp_path / "index", workers=workers)
    assert not (tmp_path / "index").exists()


def test_two_runs_at_once_share_the_work_and_make_the_same_bytes(tmp_path, shelf):
    built([shelf], tmp_path / "one", composition=ALL)
    with ThreadPoolExecutor(2) as runs:
        reports = list(runs.map(lambda _: built([shelf], tmp_path / "shared", composition=ALL), range(2)))
    assert sorted(name for report in reports for name in report.added) == [f"video{number:02}" for number in range(6)]
    assert [report.failed for report in reports] == [{}, {}]
    assert files_below(tmp_path / "one") == files_below(tmp_path / "shared")


def test_what_is_new_is_added_and_what_is_gone_is_dropped_with_a_word(tmp_path):
    store, told = tmp_path / "store", []
    write_shelf(store, shelf_of(3))
    built([store], tmp_path / "index")
    before = files_below(tmp_path / "index")
    opened = write_shelf(store, {"another": lively(12, 99)})
    opened.reopen("video01")  # takes it out of the store
    report = build_index([store], tmp_path / "index", report=quiet, tell=told.append)
    assert (report.added, report.kept) == (["another"], ["video00", "video02"])
    assert report.dropped == {"video01": f"its features are gone from {store}"}
    assert told == [f"video01 is dropped: its features are gone from {store}"]
    after = files_below(tmp_path / "index")
    assert {name for name in before if name.startswith("videos/") and before[name] == after.get(name)} == {
        "videos/video00.safetensors", "videos/video02.safetensors"}
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    shutil.copy(tmp_path / "index" / "head.safetensors", fresh)  # with the statistics of the first three
    built([store], fresh)
    assert files_below(fresh) == after


def test_a_video_is_taken_out_by_its_name(tmp_path, shelf):
    built([shelf], tmp_path / "index")
    remove_videos(tmp_path / "index", ["video02"])
    index = Index.open(tmp_path / "index")
    assert [each.name for each in index.videos] == ["video00", "video01", "video03", "video04", "video05"]
    assert set(index.rows.video.tolist()) == {0, 1, 2, 3, 4}
    with pytest.raises(LookupError, match="'video02' is not among the 5 videos"):
        remove_videos(tmp_path / "index", ["video02"])


def test_another_composition_of_the_same_regions_describes_nothing_anew(tmp_path, shelf):
    built([shelf], tmp_path / "index", composition="tubes,flat")
    before = files_below(tmp_path / "index")
    report = built([shelf], tmp_path / "index", composition="tubes,whiten,nnn,flat")
    assert (report.added, len(report.kept)) == ([], 6)
    after = files_below(tmp_path / "index")
    assert {name: content for name, content in before.items() if "videos/" in name} == {
        name: content for name, content in after.items() if "videos/" in name}
    assert str(Index.open(tmp_path / "index").composition) == "tubes,whiten,nnn,flat"
    built([shelf], tmp_path / "index")  # which is kept
    assert files_below(tmp_path / "index") == after
    with pytest.raises(ValueError, match="has described tubes, not windows"):
        built([shelf], tmp_path / "index", composition="windows,flat")


def test_what_cannot_be_together_is_refused(tmp_path, shelf, films):
    built([shelf], tmp_path / "index")
    write_shelf(tmp_path / "other", shelf_of(1))
    with pytest.raises(ValueError, match="describes the videos of one store"):
        built([shelf, tmp_path / "other"], tmp_path / "second")
    with pytest.raises(ValueError, match="describes the videos of one store"):
        built([shelf, films[0]], tmp_path / "second")
    with pytest.raises(ValueError, match=r"describes the videos of .*store, not of .*other"):
        built([tmp_path / "other"], tmp_path / "index")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        built([tmp_path / "nothing"], tmp_path / "second")
    assert not (tmp_path / "second").exists()


@pytest.fixture(scope="module")
def library(tmp_path_factory, films) -> Path:
    """Files in folders, a text among them, and a store with features of the first, made of analytic weights."""
    place = tmp_path_factory.mktemp("library")
    for number, film in enumerate(films):
        (place / "films" / f"day{number % 2}").mkdir(parents=True, exist_ok=True)
        shutil.copy(film, place / "films" / f"day{number % 2}" / film.name)
    (place / "films" / "notes.md").write_text("nothing")
    extract([films[0]], place / "features.zarr", load_backbone(), ClipSpec(image_size=64), report=quiet)
    return place


def copied(library: Path, place: Path) -> Path:
    shutil.copytree(library, place)
    return place


def test_files_of_a_folder_are_extracted_and_described(tmp_path, library):
    place = copied(library, tmp_path / "here")
    told: list[str] = []
    report = build_index([place / "films"], place / "index", store=place / "features.zarr", report=quiet,
                         tell=told.append)  # fmt: skip
    assert len(report.added) == 3
    assert any("1 file is left out" in line for line in told)
    index = Index.open(place / "index")
    assert all(Path(each.path).is_file() for each in index.videos)
    gone = Path(index.videos[1].path)
    gone.unlink()
    report = built([place / "films"], place / "index")
    assert report.dropped == {index.videos[1].name: f"{gone} is gone"}
    assert len(Index.open(place / "index").videos) == 2


def test_a_list_names_files_one_a_line(tmp_path, library):
    place = copied(library, tmp_path / "here")
    first, *_ = sorted((place / "films").rglob("*.mp4"))
    (place / "list.txt").write_text(f"# mine\n\n{first.relative_to(place)}\n")
    assert built([place / "list.txt"], place / "index", store=place / "features.zarr").added == [first.stem]
    (place / "list.txt").write_text("missing.mp4\n")
    with pytest.raises(FileNotFoundError, match=r"names missing\.mp4, which is not there"):
        built([place / "list.txt"], place / "index")


def test_a_file_that_is_no_video_is_reported_and_the_rest_is_there(tmp_path, library):
    place = copied(library, tmp_path / "here")
    (place / "films" / "bad.mp4").write_text("no video")
    report = built([place / "films"], place / "index", store=place / "features.zarr")
    assert "cannot be read as a video" in report.failed["bad"]
    assert report.num_videos == 3
    found = report.failed["bad"]
    later, tried = (built([place / "films"], place / "index", store=place / "features.zarr", retry=retry).failed["bad"]
                    for retry in (False, True))  # fmt: skip
    assert (later, tried) == (f"{found} An earlier run found this; --retry tries again.", found)


def test_what_was_described_otherwise_is_described_anew_whoever_is_named(tmp_path, library):
    place = copied(library, tmp_path / "here")
    first, second, *_ = sorted((place / "films").rglob("*.mp4"))
    built([first], place / "index", store=place / "features.zarr", composition="grid,flat")
    (place / "index" / "index.json").unlink()  # as if it had been killed before it was first written
    report = built([second], place / "index", store=place / "features.zarr", composition="windows,flat")
    index = Index.open(place / "index")
    assert sorted(report.added) == [first.stem, second.stem]
    assert [(each.num_rows, each.path) for each in index.videos] == [(3, str(first)), (3, str(second))]  # not 30


def test_a_file_of_a_known_name_gets_its_folder_before_it(tmp_path, library):
    place = copied(library, tmp_path / "here")
    first = min((place / "films").rglob("*.mp4"))
    built([place / "films"], place / "index", store=place / "features.zarr")
    (place / "later").mkdir()
    another = max((place / "films").rglob("*.mp4"))
    shutil.copy(another, place / "later" / first.name)
    assert built([place / "later"], place / "index").added == [f"later/{first.stem}"]
    assert len(Index.open(place / "index").videos) == 4


@pytest.mark.alone
def test_twenty_kills_leave_no_trace(tmp_path):
    """Statistics are taken, rows described and gathered: each is begun and killed."""
    write_shelf(tmp_path / "library" / "store", shelf_of(8))
    program = Path(__file__).parents[1] / "helpers" / "killed.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    words = [sys.executable, str(program), str(tmp_path / "library"), "20"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["states"]) == 20
    assert len({*map(tuple, found["states"])}) >= 6  # not all at one place
    for lived in found["lived"]:
        assert lived.keys() == found["whole"].keys()
        assert [name for name, digest in lived.items() if found["whole"][name] != digest] == []
    assert found["left"] == []
