"""A cluster makes the same store as one process, whatever happens to its actors."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from clock import Reader, run, tree, write_clocks

from stvr.store import FeatureStore, check_all

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def cluster():
    """Two processors of this machine."""
    ray = pytest.importorskip("ray", reason="needs ray, which is not installed")
    with pytest.MonkeyPatch.context() as patch:
        here = Path(__file__).parent
        patch.setenv("PYTHONPATH", f"{here}{os.pathsep}{here.parent / 'helpers'}")  # of this file and of `clock`
        patch.setenv("OMP_NUM_THREADS", "1")
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=256 << 20, log_to_driver=False)
        yield ray
        ray.shutdown()


class DiesOnce(Reader):
    """Its process is killed when it sees a certain frame for the first time."""

    def __init__(self, log: Path, number: int, mark: Path) -> None:
        super().__init__(log)
        self.number, self.mark = number, mark

    def __call__(self, frames):
        maps = super().__call__(frames)
        if self.number in (maps[:, 0, 0, 0] - len(frames)) and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return maps


class Broken(Reader):
    def __call__(self, frames):
        raise RuntimeError("out of memory")


def test_actors_write_what_one_process_writes_even_if_one_is_killed(tmp_path, cluster):
    videos = write_clocks(tmp_path, [5, 11, 4, 6])
    run(videos, tmp_path / "one", Reader())
    (tmp_path / "bad.mp4").write_text("no video")
    reader, steps = DiesOnce(tmp_path / "log", 248 + 48, tmp_path / "killed"), []  # at the seventh clip of the second
    options = {"engine": "ray", "workers": 3}  # of which two have a processor
    report = run([*videos, tmp_path / "bad.mp4"], tmp_path / "store", reader, report=steps.append, **options)
    assert (tmp_path / "killed").exists()
    assert report.done == ["v00", "v01", "v02", "v03"]
    assert "cannot be read as a video" in report.failed["bad"]
    assert steps[-1].clips >= 22
    count = Counter(reader.logged())
    sizes = enumerate([5, 11, 4, 6])
    assert sorted(count) == [8 + 240 * video + 8 * clip for video, size in sizes for clip in range(size)]
    again = {number for number, times in count.items() if times > 1}
    assert 248 + 48 in again
    assert again <= {248 + 8 * clip for clip in (4, 5, 6, 7)}  # the shard that was open
    assert check_all(FeatureStore.open(tmp_path / "store")).faults == ()
    assert {name: content for name, content in tree(tmp_path / "store").items() if name[0] != "."} == {
        name: content for name, content in tree(tmp_path / "one").items() if name[0] != "."}


def test_an_error_in_an_actor_ends_the_run(tmp_path, cluster):
    with pytest.raises(RuntimeError, match="out of memory"):
        run(write_clocks(tmp_path, [2]), tmp_path / "store", Broken(), engine="ray")
