"""A head of features in context is given the same features by a store, a file and, later, a live source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from clock import quiet, write_rounding_weights
from film import write_film
from tiny import HEAD

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import save_head
from stvr.jobs.finetune import trainable_backbone
from stvr.session import Session
from stvr.session.sources import Eyes, FileClips, LiveClips
from stvr.store import FeatureStore
from stvr.structures import ClipSpec, Span
from stvr.video.decode import decode_clips, probe

CLIP = ClipSpec(image_size=32, context="video", cuts="keep")
NUM_CLIPS = 45


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Two shots, of 34 clips and of 11."""
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", 8 * 34, 8 * 11)


@pytest.fixture(scope="module")
def made(film, tmp_path_factory) -> tuple[Eyes, FeatureStore]:
    """What sees two endpoints, with weights whose sums round, and the store that it filled."""
    folder = tmp_path_factory.mktemp("context")
    backbone = load_backbone(weights=write_rounding_weights(folder / "made.safetensors"), endpoint="Mixed_3c,Mixed_4c",
                             precision="float32")
    extract([film], folder / "store", backbone, CLIP, report=quiet)
    return Eyes(backbone, FeatureStore.open(folder / "store").spec), FeatureStore.open(folder / "store")


@pytest.mark.parametrize("span", [(0, 3), (20, 25), (30, 37), (31, 45), (44, 45)])
def test_a_span_of_a_file_has_the_bits_of_the_store(film, made, span):
    eyes, store = made
    wanted = Span("film", *span)
    seen = list(FileClips(probe(film), wanted, eyes).features(4))
    assert [len(part) for part in seen] == [min(4, span[1] - at) for at in range(*span, 4)]
    for name, kept in store.read_features(wanted).maps.items():
        assert torch.equal(torch.cat([part.maps[name] for part in seen]), kept), name


def test_a_live_source_is_seen_as_soon_as_its_context_has_come(film, made):
    """Mixed_4c sees 19 frames beyond a clip, three clips; and one clip more says that these were not the last."""
    (eyes, store), given = made, 0

    def camera():
        nonlocal given
        for _, frames, _ in decode_clips(film, CLIP):
            given += 1
            yield frames

    waits, parts = [], []
    for number, features in enumerate(LiveClips("camera", camera(), eyes).features(8)):
        assert len(features) == 1
        waits.append(given - 1 - number)
        parts.append(features)
    assert waits[:20] == [4] * 20
    assert len(parts) == NUM_CLIPS
    for name, kept in store.read_features(Span("film", 0, NUM_CLIPS)).maps.items():
        seen = torch.cat([part.maps[name] for part in parts])
        torch.testing.assert_close(seen, kept, rtol=2**-9, atol=2**-10 * float(kept.max()))  # a step of float16


def test_a_store_a_file_and_the_command_line_give_one_answer(films, films_spec, backbone, stvr, tmp_path):
    clip = replace(films_spec.clip, context="video", cuts="keep")
    spec, options = replace(films_spec, clip=clip), MatchingOptions(**HEAD)
    torch.manual_seed(1)
    save_head(tmp_path / "head.safetensors", build_head(options, spec), options, spec, {"step": 0})
    asked = ["locate", "--checkpoint", tmp_path / "head.safetensors", "--query", films[0], "--box", "20,10,80,90",
             "--at", 1.5, films[1]]
    for name, more in (("file", []), ("store", ["--store", tmp_path / "store"])):
        ended = stvr(*asked, *more, "--out", tmp_path / name)
        assert ended.status == 0, ended.err
    assert FeatureStore.open(tmp_path / "store").spec.clip == clip
    from_file, from_store = ((tmp_path / name / "tubelets.jsonl").read_text() for name in ("file", "store"))
    assert from_file == from_store != ""
    extract(films[:1], tmp_path / "isolated", backbone, films_spec.clip, report=quiet)
    with pytest.raises(ValueError, match="context is 'video', not 'clip'"):
        Session.open(tmp_path / "head.safetensors", store=tmp_path / "isolated")


def test_finetuning_is_for_clips_by_themselves(films_spec):
    with pytest.raises(ValueError, match=r"in the context of their video.*--context clip first"):
        trainable_backbone(replace(films_spec, clip=CLIP), None)
