"""A cluster makes the same index as one process, and answers with the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_index import clustered, write_made
from numpy.testing import assert_array_equal
from shelf import files_below, shelf_of, write_shelf

from stvr.library import build_index
from stvr.library.exact import BLOCK
from stvr.library.ray import RayIndex

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def cluster():
    """Two processors of this machine."""
    ray = pytest.importorskip("ray", reason="needs ray, which is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_worker_niceness", "0")  # or whatever else the machine does comes first
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=256 << 20, log_to_driver=False)
        yield ray
        ray.shutdown()


def test_actors_make_the_same_bytes(tmp_path, cluster):
    write_shelf(tmp_path / "store", shelf_of(4))
    for name, engine in (("one", "local"), ("cluster", "ray")):
        build_index([tmp_path / "store"], tmp_path / name, composition="windows+tubes,whiten,nnn,flat", engine=engine,
                    workers=2 if engine == "ray" else 1, report=lambda step: None, tell=print)  # fmt: skip
    assert files_below(tmp_path / "one") == files_below(tmp_path / "cluster")


def test_actors_answer_with_the_same_bits(tmp_path, cluster):
    made = write_made(tmp_path, clustered([BLOCK, 5000, BLOCK + 3], 16), "windows,nnn,flat")
    query = torch.from_numpy(np.random.default_rng(1).standard_normal(16).astype(np.float32))
    with RayIndex(tmp_path, 2) as parted:
        assert_array_equal(parted.scores(query), made.scores(query))
        for ours, theirs in zip(parted.best(query, 100), made.best(query, 100), strict=True):
            assert_array_equal(ours, theirs)


def test_an_index_that_faiss_searches_is_refused(tmp_path: Path):
    write_made(tmp_path, clustered([20], 16), "windows,faiss")
    with pytest.raises(ValueError, match="is searched by faiss, which is not parted"):
        RayIndex(tmp_path)
