"""Promises of the pairs file."""

import json
from pathlib import Path

import pytest
import torch

from stvr.structures import ClipSpec, Pair, Span, Tubelet
from stvr.tasks.pairs.file import clip_spec, read_pairs, summary, write_pairs

HEADER = {"clip": {"fps": 24, "frames_per_clip": 8}, "protocol": "debiased", "seed": 0, "labels": {"1": "nod"}}


def tubelet(video: str, start: int, stop: int) -> Tubelet:
    corners = torch.rand(stop - start, 2, generator=torch.Generator().manual_seed(start)) / 2
    return Tubelet(Span(video, start, stop), torch.cat([corners, corners + 0.4], 1))


@pytest.fixture
def pairs() -> list[Pair]:
    still = Tubelet(Span("β", 4, 10), torch.tensor([0.1, 0.2, 0.3, 0.4]).repeat(6, 1))
    return [Pair(tubelet("a", 3, 9), Span("β", 2, 20), (still, tubelet("β", 15, 20)), "1,2", (tubelet("β", 2, 3),)),
            Pair(tubelet("a", 0, 30), Span("c", 0, 9), (), "3", (), "test")]


def test_what_was_written_is_read_back(pairs: list[Pair], tmp_path: Path):
    write_pairs(tmp_path / "pairs.json", pairs, HEADER)
    read, header = read_pairs(tmp_path / "pairs.json")
    assert header == {"stvr_pairs": 1, **HEADER}
    assert clip_spec(header, 160) == ClipSpec(24, 8, 160)
    for one, other in zip(pairs, read, strict=True):
        assert (one.query.span, one.reference, one.label, one.split) == (
            other.query.span, other.reference, other.label, other.split)
        for ours, theirs in zip((one.query, *one.targets, *one.others), (other.query, *other.targets, *other.others),
                                strict=True):
            assert ours.span == theirs.span
            torch.testing.assert_close(ours.boxes, theirs.boxes, atol=6e-7, rtol=0)


def test_writing_what_was_read_gives_the_same_bytes(pairs: list[Pair], tmp_path: Path):
    write_pairs(tmp_path / "one.json", pairs, HEADER)
    write_pairs(tmp_path / "two.json", read_pairs(tmp_path / "one.json")[0], HEADER)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_there_is_one_pair_a_line_and_a_still_box_is_written_once(pairs: list[Pair], tmp_path: Path):
    write_pairs(tmp_path / "pairs.json", pairs, HEADER)
    lines = (tmp_path / "pairs.json").read_text().splitlines()
    assert len(lines) == 3 + len(pairs)
    assert '{"start":4,"boxes":[[6,0.1,0.2,0.3,0.4]]}' in lines[2]


def test_no_pairs_are_pairs_too(tmp_path: Path):
    write_pairs(tmp_path / "pairs.json", [], HEADER)
    assert read_pairs(tmp_path / "pairs.json")[0] == []


def test_a_failed_write_leaves_the_old_file_and_no_draft(pairs: list[Pair], tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch):
    write_pairs(tmp_path / "pairs.json", pairs, HEADER)
    before = (tmp_path / "pairs.json").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("stvr.files.os.replace", fail)
    with pytest.raises(OSError, match="disk"):
        write_pairs(tmp_path / "pairs.json", [], HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.json"]
    assert (tmp_path / "pairs.json").read_bytes() == before


def change(entry: dict, where: str, value: object) -> None:
    *path, last = where.split(".")
    for key in path:
        entry = entry[key]
    entry[last] = value


@pytest.mark.parametrize(("where", "value", "says"), [
    ("split", "dev", "train, val or test, not 'dev'"),
    ("reference.stop", 2, "0 <= start < stop"),
    ("reference.start", 1.5, "whole numbers"),
    ("reference.stop", 12, "sticks out of the reference"),
    ("query.boxes", [[3, 0.5, 0.1, 0.2, 0.9]], "x2 <= x1"),
    ("query.boxes", [[3, 0.5, 0.1, 0.9]], "rows of 5 numbers"),
    ("query.boxes", [], "rows of 5 numbers"),
    ("query.boxes", [[-1, 0.1, 0.1, 0.9, 0.9]], "pair 1"),
    ("query.boxes", "none", "pair 1"),
    ("targets", None, "pair 1"),
])
def test_a_pair_that_does_not_fit_is_refused_in_one_line(pairs: list[Pair], tmp_path: Path, where: str, value: object,
                                                         says: str):
    path = tmp_path / "pairs.json"
    write_pairs(path, pairs, HEADER)
    content = json.loads(path.read_text())
    change(content["pairs"][0], where, value)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=says) as refusal:
        read_pairs(path)
    assert "pair 1" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pairs": []}', '{"stvr_pairs": 2, "pairs": []}', "v,1,2"])
def test_another_file_is_refused_and_prepare_named(tmp_path: Path, text: str):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match="stvr prepare"):
        read_pairs(tmp_path / "other.json")


def test_a_missing_name_is_said(pairs: list[Pair], tmp_path: Path):
    path = tmp_path / "pairs.json"
    write_pairs(path, pairs, HEADER)
    path.write_text(path.read_text().replace('"label":', '"lable":', 1))
    with pytest.raises(ValueError, match="pair 1: it has no 'label'"):
        read_pairs(path)


def test_the_summary_counts_by_split(pairs: list[Pair]):
    assert summary(pairs) == {
        "train": {"pairs": 1, "labels": 1, "videos": 2, "query_clips_median": 6, "query_clips_max": 6,
                  "reference_clips_median": 18, "reference_clips_max": 18, "without_target": 0},
        "test": {"pairs": 1, "labels": 1, "videos": 2, "query_clips_median": 30, "query_clips_max": 30,
                 "reference_clips_median": 9, "reference_clips_max": 9, "without_target": 1}}


def test_what_the_others_do_comes_back(tmp_path):
    span, other = Span("b", 0, 6), Tubelet(Span("b", 1, 2), torch.tensor([[0.1, 0.1, 0.5, 0.5]]))
    query = Tubelet(Span("a", 0, 1), torch.tensor([[0.1, 0.1, 0.5, 0.5]]))
    named = Pair(query, span, (), "11", (other, other), "test", ("12", "11,12"))
    unnamed = Pair(query, span, (), "11", (other, other), "test")
    write_pairs(tmp_path / "pairs.json", [named, unnamed], {"clip": {"fps": 24, "frames_per_clip": 8}})
    read, _ = read_pairs(tmp_path / "pairs.json")
    assert [pair.other_labels for pair in read] == [("12", "11,12"), ()]
