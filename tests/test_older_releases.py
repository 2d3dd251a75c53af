"""What earlier releases wrote opens, verifies and answers as it did; `scripts/write_release_data.py` kept it in data/.

Stored values are compared exactly. What a network computes anew is compared within a bound: another processor or torch
adds up in another order.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stvr import FeatureStore, Span, load_head

RELEASES = sorted((Path(__file__).parent / "data").glob("release_*"))
EXPECTED = {folder: json.loads((folder / "expected.json").read_text()) for folder in RELEASES}
FIGURE = 1e-4  # of scores and of figures made of them
PIXELS = 0.02  # boxes of `locate` are rounded to a hundredth
HALF = 2.0**-10  # two neighbours of float16, relative: a sum that rounds the other way


def kept(*keys: str) -> pytest.MarkDecorator:
    """Runs a test for everything under a key of what each release noted."""
    cases = []
    for folder, expected in EXPECTED.items():
        noted = reduce(getitem, keys, expected)
        cases += [pytest.param(folder, path, value, id=f"{folder.name}/{path}") for path, value in noted.items()]
    return pytest.mark.parametrize(("folder", "path", "noted"), cases)


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of a video file are made in float32, as they were then, whatever the processor has."""
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)


@kept("values")
def test_stored_values_are_read_bit_for_bit(folder: Path, path: str, noted: dict[str, Any]):
    assert digests(FeatureStore.open(folder / path)) == noted


@kept("verify")
def test_an_older_store_is_whole(stvr: Callable[..., Any], folder: Path, path: str, noted: str):
    ended = stvr("verify", folder / path)
    assert (ended.status, numbers(ended.out, folder / path)) == (0, numbers(noted, path))


@kept("info")
def test_info_counts_what_it_counted(stvr: Callable[..., Any], folder: Path, path: str, noted: dict[str, Any]):
    ended = stvr("info", folder / path)
    assert ended.status == 0, ended.err
    counted = ("kind", "videos", "clips", "failed", "parameters", "labels", "splits")  # whichever there are
    assert pick(json.loads(ended.out), counted) == pick(noted, counted)


@kept("settings")
def test_an_older_store_has_all_that_the_same_extraction_wants(
    stvr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path, path: str, noted: list[str]
):
    """The same weights, settings and files: every video is skipped, and nothing is written."""
    shutil.copytree(folder / path, tmp_path / "store")
    before = files_in(tmp_path / "store")
    monkeypatch.chdir(folder)
    for store, settings in settings_of(tmp_path / "store", noted).items():
        ended = stvr("extract", *settings, "--store", store)
        assert ended.status == 0, ended.err
    assert files_in(tmp_path / "store") == before


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_a_folder_with_a_store_for_each_endpoint_says_which_there_are(
    stvr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
):
    place, settings = tmp_path / "store", EXPECTED[folder]["settings"]["stores/several"]
    shutil.copytree(folder / "stores/several", place)
    if (place / "zarr.json").exists():
        pytest.skip("this release kept all endpoints in one store")
    before, endpoints = files_in(place), settings[settings.index("--endpoint") + 1].split(",")
    monkeypatch.chdir(folder)
    for words in (["info", place], ["verify", place], ["extract", *settings, "--store", place]):
        ended = stvr(*words)
        assert (ended.status, ended.err.count("\n")) == (2, 1), ended.err
        assert all(name in ended.err for name in (f"{', '.join(endpoints)}", f"{place}/{endpoints[0]}"))
    assert files_in(place) == before


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_a_video_extracted_today_is_as_it_was(
    stvr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
):
    shutil.copytree(folder / "stores/whole", tmp_path / "store")
    shutil.rmtree(tmp_path / "store/b")
    monkeypatch.chdir(folder)
    settings = EXPECTED[folder]["settings"]["stores/whole"]
    assert stvr("extract", *settings, "--store", tmp_path / "store").status == 0
    was, now = FeatureStore.open(folder / "stores/whole"), FeatureStore.open(tmp_path / "store")
    assert now.spec == was.spec
    span = Span("b", 0, was.num_clips("b"))
    np.testing.assert_array_equal(now.ticks("b"), was.ticks("b"))
    for flipped in (False, True):
        torch.testing.assert_close(now.read(span, flipped), was.read(span, flipped), rtol=HALF, atol=HALF)
    torch.testing.assert_close(now.read_flow(span), was.read_flow(span), rtol=HALF, atol=4 * HALF)


@kept("exported")
def test_an_exported_file_becomes_its_store_again(
    stvr: Callable[..., Any], tmp_path: Path, folder: Path, path: str, noted: str
):
    assert stvr("store", "import", folder / path, "--out", tmp_path / "store").status == 0
    store = FeatureStore.open(tmp_path / "store")
    assert store.spec == FeatureStore.open(folder / noted).spec
    assert digests(store) == EXPECTED[folder]["values"][noted]


@kept("eval")
def test_an_older_head_has_the_figures_it_had(
    stvr: Callable[..., Any], tmp_path: Path, folder: Path, path: str, noted: dict[str, Any]
):
    asked = ("--store", folder / "stores/whole", "--pairs", folder / "pairs.json", "--out", tmp_path)
    ended = stvr("eval", "--checkpoint", folder / path, *asked)
    assert ended.status == 0, ended.err
    figures = dict(leaves(json.loads((tmp_path / "eval.json").read_text())))
    for name, value in leaves(noted):
        assert figures[name] == (pytest.approx(value, abs=FIGURE) if isinstance(value, float) else value), name


@kept("locate", "tubelets")
def test_an_older_head_finds_what_it_found(
    stvr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, in_float32: None, tmp_path: Path, folder: Path,
    path: str, noted: list[dict[str, Any]],
):  # fmt: skip
    monkeypatch.chdir(folder)
    asked = EXPECTED[folder]["locate"]["asked"]
    ended = stvr("locate", *asked, "--checkpoint", path, "--out", tmp_path)
    assert ended.status == 0, ended.err
    found = [json.loads(line) for line in (tmp_path / "tubelets.jsonl").read_text().splitlines()]
    assert [when_and_where(tubelet) for tubelet in found] == [when_and_where(tubelet) for tubelet in noted]
    assert [tubelet["score"] for tubelet in found] == pytest.approx([t["score"] for t in noted], abs=FIGURE)
    for ours, theirs in zip(found, noted, strict=True):
        boxes, wanted = ([each["box"] for each in tubelet["boxes"]] for tubelet in (ours, theirs))
        np.testing.assert_allclose(boxes, wanted, atol=PIXELS)


@kept("eval")
def test_a_run_is_loaded_by_its_folder_or_its_file(folder: Path, path: str, noted: dict[str, Any]):
    by_folder, by_file = load_head(folder / path), load_head(folder / path / "head.safetensors")
    assert by_folder.spec == by_file.spec == FeatureStore.open(folder / "stores/whole").spec


def digests(store: FeatureStore) -> dict[str, dict[str, str]]:
    """Video -> array -> digest of the values as they are read: dtype, shape and bytes."""
    return {video: dict(arrays_of(store, Span(video, 0, store.num_clips(video)))) for video in store.videos()}


def arrays_of(store: FeatureStore, span: Span) -> Iterator[tuple[str, str]]:
    for endpoint in store.spec.endpoints:
        of = f" of {endpoint}" if len(store.spec.maps) > 1 else ""
        yield f"features{of}", digest(store.read(span, endpoint=endpoint).numpy())
        if store.spec.flipped:
            yield f"flipped{of}", digest(store.read(span, True, endpoint).numpy())
    yield "ticks", digest(store.ticks(span.video))
    if store.spec.flow != "none":
        yield "flow", digest(store.read_flow(span).numpy())


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(f"{array.dtype} {array.shape}\n".encode() + array.tobytes()).hexdigest()


def settings_of(store: Path, settings: list[str]) -> dict[Path, list[str]]:
    """Each store and how it was made: the one there is, or one for each endpoint in a folder of an early release."""
    if (store / "zarr.json").exists():
        return {store: settings}
    at = settings.index("--endpoint") + 1
    return {store / name: [*settings[:at], name, *settings[at + 1 :]] for name in settings[at].split(",")}


def numbers(line: str, path: Path | str) -> list[int]:
    """Those that a line says of a path: the words around them may change."""
    return [int(number) for number in re.findall(r"\d+", line.replace(str(path), ""))]


def pick(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leaves(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """{"a": {"b": 1}} -> ("/a/b", 1)."""
    if not isinstance(values, dict):
        yield name, values
        return
    for key, value in values.items():
        yield from leaves(value, f"{name}/{key}")


def when_and_where(tubelet: dict[str, Any]) -> tuple[Any, ...]:
    """All of a tubelet that no rounding moves."""
    return (*(tubelet[name] for name in ("reference", "rank", "start_seconds", "stop_seconds", "width", "height")),
            [each["seconds"] for each in tubelet["boxes"]])  # fmt: skip
