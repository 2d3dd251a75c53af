"""What an index answers, held against plain sums; who may ask it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from made_index import clustered, write_made
from numpy.testing import assert_allclose, assert_array_equal

from stvr.library import Index
from stvr.library.exact import BLOCK, exact_scores
from stvr.library.hubs import BACKGROUND, NEAREST, SHARE
from stvr.library.index import best_of, merged


def unit(values):
    values = np.asarray(values, np.float64)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def vectors():
    return clustered([300, 0, 500, 24], 16)


def asked(seed: int = 0, width: int = 16):
    return torch.tensor(unit(np.random.default_rng(seed).standard_normal(width)), dtype=torch.float32)


def test_scores_are_cosines(tmp_path, vectors):
    index, query = write_made(tmp_path, vectors), asked()
    assert_allclose(index.scores(query), unit(np.concatenate(vectors)) @ query.double().numpy(), atol=1e-3)
    assert index.rows.video.tolist() == [0] * 300 + [2] * 500 + [3] * 24
    assert_array_equal(index.scores(torch.stack([asked(1), query]))[1], index.scores(query))


def test_whitened_scores_are_cosines_of_what_is_unusual(tmp_path, vectors):
    mean, deviation = np.linspace(-1, 1, 16), np.linspace(0.5, 3, 16)
    index, query = write_made(tmp_path, vectors, "windows,whiten,flat", (mean.tolist(), deviation.tolist())), asked()
    expected = unit((np.concatenate(vectors) - mean) / deviation) @ query.double().numpy()
    assert_allclose(index.scores(query), expected, atol=2e-3)


def brute_bias(vectors, videos):
    cosines = unit(vectors) @ unit(vectors).T
    return np.array([SHARE * np.sort(row[videos != video])[-NEAREST:].mean() if (videos != video).any() else 0
                     for row, video in zip(cosines, videos, strict=True)])  # fmt: skip


def test_what_is_like_everything_else_is_marked_down(tmp_path, vectors):
    index, query = write_made(tmp_path, vectors, "windows,nnn,flat"), asked()
    every, videos = np.concatenate(vectors), np.repeat(range(4), [300, 0, 500, 24])
    assert len(every) < BACKGROUND  # so that the background is all of them
    bias = brute_bias(every, videos)
    assert_allclose(index.rows.bias, bias, atol=1e-3)
    assert_allclose(index.scores(query), unit(every) @ query.double().numpy() - bias, atol=2e-3)


def test_a_hub_is_no_longer_the_first_answer(tmp_path):
    axes = np.eye(16)
    hub, right = axes.sum(0), axes[0] + 1.2 * axes[1:8].sum(0) / 7
    others = [axes[number : number + 1] + 0.5 for number in range(1, 16)]  # each like the hub, none like `right`
    query = torch.tensor(unit(axes[0] + 0.6 * axes.sum(0)), dtype=torch.float32)
    rows = [hub[None], right[None], *others]
    first = {text: int(write_made(tmp_path / text, rows, text).best(query, 1)[0][0])
             for text in ("windows,flat", "windows,nnn,flat")}  # fmt: skip
    assert first == {"windows,flat": 0, "windows,nnn,flat": 1}


def test_one_video_alone_has_no_hubs(tmp_path, vectors):
    assert not write_made(tmp_path, vectors[:1], "windows,nnn,flat").rows.bias.any()


def test_the_best_rows_are_those_of_a_full_sort_and_equals_come_in_order(tmp_path):
    twice = np.repeat(clustered([50], 8)[0], 3, 0)
    index, query = write_made(tmp_path, [twice[:70], twice[70:]]), asked(2, 8)
    scores = index.scores(query)
    for count in (1, 2, 7, 150, 1000):
        places, found = index.best(query, count)
        assert_array_equal(places, np.argsort(-scores, kind="stable")[:count])
        assert_array_equal(found, scores[places])
    among = np.arange(150) % 4 == 1
    assert_array_equal(index.best(query, 9, among)[0], [p for p in np.argsort(-scores, kind="stable") if among[p]][:9])
    assert len(index.best(query, 9, np.zeros(150, bool))[0]) == 0


def test_parts_that_are_merged_are_the_whole():
    scores = np.round(np.random.default_rng(0).random(1000), 2).astype(np.float32)  # with many equals
    for edges in ([0, 1000], [0, 10, 11, 600, 1000]):
        found = []
        for first, last in pairwise(edges):
            places = best_of(scores[first:last], 20)
            found.append((places + first, scores[first:last][places]))
        assert_array_equal(merged(found, 20)[0], np.argsort(-scores, kind="stable")[:20])


def test_a_part_of_the_rows_has_the_bits_of_the_whole():
    rng = np.random.default_rng(0)
    rows, bias = rng.standard_normal((2 * BLOCK + 77, 24)).astype(np.float16), rng.random(2 * BLOCK + 77, np.float32)
    query = asked(0, 24)
    whole = exact_scores(rows, bias, query)
    assert_allclose(whole, rows.astype(np.float64) @ query.double().numpy() - bias, atol=1e-4)
    assert_array_equal(exact_scores(rows, bias, query, BLOCK, 2 * BLOCK), whole[BLOCK : 2 * BLOCK])
    assert_array_equal(exact_scores(rows, bias, query, 2 * BLOCK), whole[2 * BLOCK :])
    with pytest.raises(ValueError, match="begins at a multiple"):
        exact_scores(rows, bias, query, 5)


def test_an_index_without_a_row_is_asked_in_vain(tmp_path):
    index = write_made(tmp_path, [np.empty((0, 8))])
    assert index.scores(asked(0, 8)).shape == (0,)
    assert len(index.best(asked(0, 8), 5)[0]) == 0


def test_other_features_are_refused_with_the_reason(tmp_path, vectors):
    index = write_made(tmp_path, vectors)
    Index.open(tmp_path, index.spec)
    other = replace(index.spec, weights="others", weights_digest="sha256:ff")
    with pytest.raises(ValueError, match=r"other features than are asked: weights_digest is 'sha256:ff'"):
        Index.open(tmp_path, other)
    with pytest.raises(ValueError, match="image_size is 160, not 320"):
        Index.open(tmp_path, replace(index.spec, clip=replace(index.spec.clip, image_size=160)))
    with pytest.raises(ValueError, match="wanted a vector of 16 numbers, got 8"):
        index.scores(asked(0, 8))


def test_what_is_no_index_is_said_to_be_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no index at"):
        Index.open(tmp_path / "nothing")
    (tmp_path / "My Videos").mkdir()
    with pytest.raises(FileNotFoundError, match=r"Run `stvr index '.*/My Videos' --out INDEX` first"):
        Index.open(tmp_path / "My Videos")
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(ValueError, match="is garbled"):
        Index.open(tmp_path)


GARBLED = {
    "a list": lambda notes: [1], "without a spec": lambda notes: notes.pop("spec") and notes,
    "a spec of nothing": lambda notes: notes | {"spec": {}}, "rows of no name": lambda notes: notes | {"rows": 3},
    "videos of another kind": lambda notes: notes | {"videos": [{"name": "a"}]},
}  # fmt: skip


@pytest.mark.parametrize("how", GARBLED)
def test_notes_that_are_json_and_nothing_more_are_garbled(tmp_path, vectors, how):
    write_made(tmp_path, vectors)
    path = tmp_path / "index.json"
    path.write_text(json.dumps(GARBLED[how](json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=r"index.json is garbled. Delete it"):
        Index.open(tmp_path)


def test_notes_of_fewer_videos_than_there_are_rows_of_are_damaged(tmp_path, vectors):
    write_made(tmp_path, vectors)
    path = tmp_path / "index.json"
    notes = json.loads(path.read_text())
    path.write_text(json.dumps(notes | {"videos": notes["videos"][:-1]}))
    with pytest.raises(ValueError, match=r"index.json is damaged"):
        Index.open(tmp_path)


@pytest.mark.parametrize("kept", [0, 20, 200])  # of a header of 128 bytes and the numbers
def test_rows_that_were_cut_short_are_damaged_and_gathering_writes_them_anew(tmp_path, vectors, kept):
    index = write_made(tmp_path, vectors)
    whole, file = np.array(index.rows.vector), tmp_path / index.notes["rows"] / "vector.npy"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"vector.npy is damaged. Run `stvr index` again"):
        Index.open(tmp_path)
    assert_array_equal(write_made(tmp_path, vectors).rows.vector, whole)


def test_rows_that_are_not_there_or_too_few_are_damaged(tmp_path, vectors):
    index = write_made(tmp_path, vectors)
    rows = tmp_path / index.notes["rows"]
    np.save(rows / "bias.npy", np.zeros(1, np.float32))
    with pytest.raises(ValueError, match=f"{rows.name} is damaged"):
        Index.open(tmp_path)
    (rows / "bias.npy").unlink()
    with pytest.raises(ValueError, match=r"bias.npy is damaged"):
        Index.open(tmp_path)


def test_what_is_no_number_is_never_the_best():
    scores = np.array([0.1, np.nan, 0.4, -np.inf, np.nan, 0.2], np.float32)
    assert best_of(scores, 2).tolist() == [2, 5]
    assert best_of(scores, 6).tolist() == [2, 5, 0]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    pytest.importorskip("faiss", reason="needs faiss, which is not installed")
    folder, rows = tmp_path_factory.mktemp("both"), clustered([6000, 5000], 16)
    return [write_made(folder / name, rows, f"windows,nnn,{name}") for name in ("flat", "faiss")]


def test_faiss_finds_nearly_all_with_the_scores_that_the_bias_is_taken_off(both):
    exact, rough = both
    assert rough.rows.bias.std() > 0.003
    assert rough.by_faiss is not None
    shares = []
    for seed in range(20):
        wanted = set(exact.best(asked(seed), 20)[0].tolist())
        places, scores = rough.best(asked(seed), 20)
        assert_allclose(scores, exact.scores(asked(seed))[places], atol=2e-3)
        shares.append(len(wanted & {*places.tolist()}) / 20)
    assert np.mean(shares) > 0.9


def test_faiss_looks_among_some_rows_alone(both):
    exact, rough = both
    among = np.arange(11000) % 3 == 0
    places, _ = rough.best(asked(), 10, among)
    assert among[places].all()
    assert len({*places.tolist()} & {*exact.best(asked(), 10, among)[0].tolist()}) >= 8


def test_few_rows_are_searched_exactly(tmp_path, vectors):
    index = write_made(tmp_path, vectors, "windows,faiss")
    assert index.by_faiss is None
    assert_array_equal(index.best(asked(), 7)[0], np.argsort(-index.scores(asked()), kind="stable")[:7])
