"""Damaged files are named with a reason; a full disk stops a run cleanly; neither harms the rest."""

from __future__ import annotations

import hashlib
import resource
import sys
from pathlib import Path

import pytest
from clock import Reader, run, tree, write_clock

from stvr.store import FeatureStore

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from check_damaged import (
    ALWAYS_BAD,
    DAMAGE,
    SECONDS,
    extract_all,
    is_missing_clips,
    tally,
    write_files,
)


def test_every_good_file_is_extracted_and_every_damaged_one_named(tmp_path):
    good, damaged = write_files(tmp_path, 6, 42)
    report, store = extract_all(good + damaged, tmp_path / "store", 1, [])
    paths = {path.stem: path for path in good + damaged}
    assert set(report.done) | set(report.failed) == set(paths)
    assert set(report.done) == set(store.videos())
    for path in good:
        assert store.num_clips(path.stem) == SECONDS * 3
        assert path.stem not in report.doubtful
    for name, reason in report.failed.items():
        assert str(paths[name]) in reason
        assert len(reason) > len(str(paths[name])) + 10
        assert "\n" not in reason
    found = tally(damaged, report)
    assert found.keys() == DAMAGE.keys()
    assert all(found[kind] == (6, 0) for kind in ALWAYS_BAD)
    assert store.failed() == dict(sorted(report.failed.items()))  # noted in the store, for later runs
    cut = [path for path in damaged if path.stem.startswith("truncated") and path.stem in report.done]
    assert all(path.stem in report.doubtful for path in cut if is_missing_clips(path, store))
    assert set(report.doubtful) <= {path.stem for path in damaged} & set(report.done)
    for name in set(report.done) - set(report.doubtful):
        assert store.info(name)["decode_errors"] == 0
        assert "doubt" not in store.info(name)
    for name, doubt in report.doubtful.items():
        assert store.info(name)["doubt"] == doubt


def test_a_file_in_quarantine_is_tried_again_when_it_changes_or_on_request(tmp_path):
    path, reader = tmp_path / "a.mp4", Reader(tmp_path / "log")
    path.write_text("no video")
    assert "cannot be read as a video" in run([path], tmp_path / "store", reader).failed["a"]
    store = FeatureStore.open(tmp_path / "store")
    note = store.quarantined("a")
    assert (note["video"], note["digest"]) == ("a", hashlib.sha256(b"no video").hexdigest())
    killed = tmp_path / "store" / ".failed" / "a.json.0123456789abcdef.partial"  # as one that was killed leaves it
    killed.write_text("{")
    again = run([path], tmp_path / "store", reader).failed["a"]
    assert again.endswith("An earlier run found this; --retry tries again.")
    assert not killed.exists()
    assert not run([path], tmp_path / "store", reader, retry=True).failed["a"].endswith("tries again.")
    write_clock(path, 2)
    assert run([path], tmp_path / "store", reader).done == ["a"]
    assert store.failed() == {}


def test_the_command_says_which_files_failed_and_ends_with_status_1(tmp_path, stvr):
    write_clock(tmp_path / "good.mp4", 1)
    (tmp_path / "bad.mp4").write_text("no video")
    words = ("extract", tmp_path, "--store", tmp_path / "s", "--image-size", 64, "--endpoint", "Conv3d_1a_7x7")
    for reason in ("cannot be read as a video: ", "An earlier run found this; --retry"):
        result = stvr(*words)
        assert result.status == 1
        assert f"{tmp_path / 'bad.mp4'} cannot be read as a video" in result.err
        assert reason in result.err
        assert "1 failed" in result.out
    assert "1 in quarantine" in stvr("verify", tmp_path / "s").out
    assert '"failed": {\n  "bad"' in stvr("info", tmp_path / "s").out


@pytest.fixture
def small_files():
    """Limits the size of files in bytes (0: as before): the error beyond that stands for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size if size > 0 else soft, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_stops_the_run_with_one_line_and_the_next_goes_on(tmp_path, small_files):
    video, reader = write_clock(tmp_path / "a.mp4", 20), Reader(tmp_path / "log")
    options = {"clips_per_shard": 8}
    run([video], tmp_path / "whole", Reader(), **options)
    sizes = [path.stat().st_size for path in (tmp_path / "whole" / "a" / "features" / "c").glob("*/0/0/0/0")]
    assert len(sizes) == 3
    small_files(max(sizes) - 1)
    reason = r"no room for .*/store \(.*\)\. Free some space, then start the same command again"
    with pytest.raises(OSError, match=reason):
        run([video], tmp_path / "store", reader, **options)
    small_files(0)
    assert list((tmp_path / "store").rglob("*.partial")) == []
    assert not (tmp_path / "store" / ".claims").exists()
    report = run([video], tmp_path / "store", Reader(), **options)
    assert report.clips_reused + report.clips_computed == 20
    assert tree(tmp_path / "store") == tree(tmp_path / "whole")
