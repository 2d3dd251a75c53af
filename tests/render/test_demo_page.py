"""The demo's page shows what was measured, how training went, and on what."""

import json

import torch

from stvr.metrics import ClipRecord, PairRecord
from stvr.render import demo_report, write_report
from stvr.structures import ClipSpec
from stvr.tasks.pairs.figures import PairAnswers, score

BOX, FAR = torch.tensor([[0.2, 0.1, 0.6, 0.9]]), torch.tensor([[0.7, 0.1, 0.9, 0.9]])
LOG = [{"step": step, "total": 3.0 - step, "match": 1.0, "lr": 0.1, "steps_a_second": 9.0} for step in (1, 2)]


def answered(label: str, found: torch.Tensor) -> PairAnswers:
    """One clip, right or wrong; with a shuffled query it is wrong."""
    own, shuffled = (PairRecord(label, [ClipRecord(box, torch.tensor([0.5]), BOX)]) for box in (found, FAR))
    return PairAnswers(own, shuffled, [found], [BOX])


def test_the_page_of_the_demo(tmp_path):
    """Label 1 is right in its clip, label 2 is not: 50.0 on average, 0.0 with a shuffled query."""
    results = {
        "evaluated": "2 of 2 pairs", "labels": {"1": "nod", "2": "wave"},
        "checkpoint": {"train": {"head": {"width": 8}, "steps": 2}},
        "store_spec": {"backbone": "i3d", "weights": "analytic", "clip": {"image_size": 160}, "maps": {"Mixed_4c": {}}},
        **score([answered("1", BOX), answered("2", FAR)], ClipSpec()),
    }  # fmt: skip
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG))
    data = demo_report(results, tmp_path / "log.jsonl", [], {"train": 61.0}, seed=3, version="1.2.3")
    assert (data.headline.model, data.headline.probe) == (0.5, 0)
    assert data.training == [{"step": 1, "loss": 2.0, "losses": {"match": 1.0}},
                             {"step": 2, "loss": 1.0, "losses": {"match": 1.0}}]
    assert data.configuration["backbone"] == "i3d at Mixed_4c, weights analytic, 160 px"
    assert data.configuration["training"] == '{"steps": 2}'
    page = write_report(tmp_path / "page.html", data).read_text(encoding="utf-8")
    for words in ("nod", "wave", "mean over labels", "stvr 1.2.3", "61.0 s", "2 of 2 pairs"):
        assert words in page
