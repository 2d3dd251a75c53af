"""The region graph that matches: windows of clips, candidates, losses, and all of it from the command line."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from patterned import ACTOR, OTHER, SPEC, iou, query_of, video
from tiny import NUM_CLIPS, write_store, write_tiny_pairs

from stvr.heads.graph_match import in_windows, out_of_windows
from stvr.heads.region_graph import RegionGraphHead, RegionGraphOptions, RegionOutputs
from stvr.store.region_boxes import write_boxes
from stvr.structures import LABEL_DIFFERENT, LABEL_SAME, Batch, Features, Query
from stvr.tasks.pairs.dataset import collate, read_item, read_pairs_for

WINDOW = 3
ONE_MAP = SPEC.only(["Mixed_4c"])


def shown(num_clips, boxes=None, **more) -> Features:
    """The finer map of `video`, as a network's, which has no negative numbers."""
    return Features({"Mixed_4c": video(num_clips, **more).maps["Mixed_4c"].abs()}, boxes=boxes)


def head_of(**options) -> RegionGraphHead:
    torch.manual_seed(0)
    head = RegionGraphHead(RegionGraphOptions(**{"width": 8, "window": WINDOW, **options}), ONE_MAP)
    head.calibrate(shown(4))
    torch.nn.init.normal_(head.refine.weight, std=0.1)
    return head.eval()


@torch.inference_mode()
def answered(head, features, query=None):
    return head.ask(head.look(features), query or query_of(head, shown(3, seed=5)))


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes)
        torch.testing.assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(1,) * 8, (4, 4), (2, 6), (7, 1)])
@pytest.mark.parametrize("proposals", ["grid", "grid+boxes", "map"])
@torch.inference_mode()
def test_a_stream_answers_as_one_look(sizes, proposals):
    head, given = head_of(proposals=proposals), torch.rand(8, 2, 2)
    features = shown(8, boxes=torch.cat([given * 0.5, given * 0.5 + 0.4], -1))
    query, state, found, start = query_of(head, shown(3, seed=5)), None, [], 0
    for size in sizes:
        state, look = head.stream(state, features.part(slice(start, start + size)))
        assert len(look) % WINDOW == 0
        found += head.ask(look, query)
        start += size
    found += head.ask(head.finish(state), query)
    assert_same(found, answered(head, features, query))


def test_a_clip_sees_its_window_and_no_other():
    head, features = head_of(), shown(7)
    other = Features({"Mixed_4c": features.maps["Mixed_4c"].clone()})
    other.maps["Mixed_4c"][4] += 1
    before, after = answered(head, features), answered(head, other)
    assert_same([*before[:3], before[6]], [*after[:3], after[6]])
    for clip in (3, 5):  # of its window, by the graph alone
        assert not torch.equal(before[clip].scores, after[clip].scores)


def test_windows_are_cut_and_joined_as_they_were():
    values = torch.arange(2 * 7 * 2).view(2, 7, 2)
    windows = in_windows(values, 3)
    assert windows.shape == (6, 6)
    assert windows[1].tolist() == [6, 7, 8, 9, 10, 11]
    assert windows[2].tolist() == [12, 13, 0, 0, 0, 0]
    assert torch.equal(out_of_windows(windows, 2, 7, 3), values)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Random features, and pairs of them."""
    folder = tmp_path_factory.mktemp("region_graph")
    store = write_store(folder / "store")
    for name in "abcd":
        write_boxes(store, name, detected(), "a detector")
    return folder, store, write_tiny_pairs(folder / "pairs.json")


def detected():
    """In each clip one box, and a row of padding."""
    return torch.tensor([[0.2, 0.1, 0.6, 0.9, 0.8, 1.0], [0.0] * 6]).expand(NUM_CLIPS, -1, -1).numpy()


def batch_of(store, pairs, which):
    items = [read_item(store, pair, boxes=True) for pair in read_pairs_for(pairs, store)[0]]
    return collate([items[number] for number in which])


def built(spec, **options):
    torch.manual_seed(0)
    return RegionGraphHead(RegionGraphOptions(**{"width": 8, "window": 4, **options}), spec)


@pytest.mark.parametrize("loss", ["softmax", "multi_label"])
def test_gradients_reach_every_weight(place, loss):
    _, store, pairs = place
    head, batch = built(store.spec, loss=loss), batch_of(store, pairs, [0, 4])
    for _ in range(2):  # the refinement begins at zero
        losses = head.losses(head(batch), batch)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.init.normal_(head.refine.weight, std=0.1)
    for name, weight in head.named_parameters():
        assert float(weight.grad.abs().sum()) > 0, name


def test_padding_of_a_batch_changes_nothing(place):
    _, store, pairs = place
    head, whole = built(store.spec).eval(), batch_of(store, pairs, [0, 4])
    clips = slice(0, 9)
    short = replace(
        whole, references={name: maps[:, clips] for name, maps in whole.references.items()},
        reference_mask=whole.reference_mask[:, clips], target_boxes=whole.target_boxes[:, clips],
        target_labels=whole.target_labels[:, clips],
    )  # fmt: skip
    masked = replace(whole, reference_mask=whole.reference_mask & (torch.arange(NUM_CLIPS) < 9))
    one, other = head(short), head(masked)
    torch.testing.assert_close(one.logits, other.logits[:, clips])
    assert not other.mask[:, 9:].any()


TRUE, THEIRS = [0.2, 0.1, 0.6, 0.9], [0.6, 0.1, 0.9, 0.5]


@pytest.mark.parametrize(("loss", "logits", "wanted"), [
    ("softmax", [[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [2.0, 0.0, 0.0]],
     (math.log(math.e + 1 + math.e**2) - 2 + math.log(2 + math.e**3) - 3 + math.log(math.e**2 + 2) - 2) / 3),
    ("multi_label", [[1.0, 2.0], [3.0, -1.0], [-2.0, 0.5]],
     sum(math.log(1 + math.exp(-each)) for each in (1, 2, 3, 1, 2, -0.5)) / 6),
])  # fmt: skip
def test_losses_are_those_of_a_hand_count(place, loss, logits, wanted):
    """Boxes on who is sought, on somebody else, on nobody; the first is to be moved right by a tenth of its width."""
    _, store, pairs = place
    batch = replace(
        batch_of(store, pairs, [0]), target_boxes=torch.tensor([[[TRUE, THEIRS]]]),
        target_labels=torch.tensor([[[LABEL_SAME, LABEL_DIFFERENT]]]),
    )  # fmt: skip
    boxes = torch.tensor([[[[0.16, 0.1, 0.56, 0.9], THEIRS, [0.0, 0.9, 0.1, 1.0], [0.0] * 4]]])
    padding = [0.0] * len(logits[0])
    outputs = RegionOutputs(boxes, torch.tensor([[[True, True, True, False]]]),
                            torch.tensor([[[*logits, padding]]]), torch.zeros(1, 1, 4, 4))
    losses = built(store.spec, loss=loss).losses(outputs, batch)
    assert float(losses["region"]) == pytest.approx(wanted, abs=1e-5)
    assert float(losses["box"]) == pytest.approx((1.0 - 0.5) / 3, abs=1e-4)  # 0.1 of a width is coded as 1, Huber: 0.5


def test_a_detectors_boxes_are_candidates_as_they_are():
    head = head_of(proposals="boxes")
    boxes = torch.tensor([[0.2, 0.3, 0.5, 0.8], [0.0] * 4]).expand(4, -1, -1)
    look = head.look(shown(4, boxes=boxes))
    assert [each.tolist() for each in head.proposals_of(look)] == [boxes[0, :1].tolist()] * 4
    with pytest.raises(ValueError, match="extract --boxes"):
        head.look(shown(4))


def test_the_grid_has_steps_boxes():
    assert [len(head_of(grid=count).grid) for count in (34, 59, 84)] == [34, 59, 84]
    assert head_of().grid[0].tolist() == [0, 0, 0.75, 0.75]


def test_there_is_no_proposal_network_to_choose():
    with pytest.raises(ValueError, match="Choose of map, grid, boxes"):
        RegionGraphOptions(proposals="grid+rpn")


@torch.inference_mode()
def test_given_boxes_are_scored_where_they_are():
    head = head_of()
    look, query = head.look(shown(4)), query_of(head, shown(3, seed=5))
    boxes = [torch.tensor([TRUE, THEIRS]), torch.empty(0, 4), torch.tensor([THEIRS]), torch.tensor([TRUE])]
    scores = head.score_boxes(look, query, boxes)
    assert [len(each) for each in scores] == [2, 0, 1, 1]
    assert all(0 < float(score) < 1 for each in scores for score in each)


@torch.inference_mode()
def test_several_examples_are_asked_with_together():
    head = head_of()
    one, two = query_of(head, shown(3, seed=5)), query_of(head, shown(3, actor=4, seed=6))
    both = Query(one.tubelets + two.tubelets, {name: torch.cat([one.regions[name], two.regions[name]])
                                               for name in one.regions})
    alone, together = (answered(head, shown(4), query) for query in (one, both))
    assert not torch.equal(alone[0].scores, together[0].scores)


PLACES = torch.tensor([ACTOR, OTHER])


def drawn(seed, items=6) -> Batch:
    """Two of four patterns in the two places of three clips; a query of the one or the other."""
    random = torch.Generator().manual_seed(seed)
    chosen = [torch.randperm(4, generator=random)[:2].tolist() for _ in range(items)]
    references = [shown(3, actor=one, other=two, seed=100 * seed + item) for item, (one, two) in enumerate(chosen)]
    queries = [shown(3, actor=each[item % 2], other=9, seed=100 * seed + 50 + item) for item, each in enumerate(chosen)]
    labels = torch.tensor([[LABEL_SAME, LABEL_DIFFERENT], [LABEL_DIFFERENT, LABEL_SAME]] * (items // 2))
    everywhere, boxes = torch.ones(items, 3, dtype=torch.bool), PLACES.expand(items, 3, 2, 4)
    references, queries = ({"Mixed_4c": torch.stack([each.only for each in kind])} for kind in (references, queries))
    return Batch(references, everywhere, queries, boxes[:, :, 0], everywhere, boxes,
                 labels[:, None].expand(-1, 3, -1), torch.zeros(items, dtype=torch.long), boxes=boxes)


def test_it_learns_who_does_the_same():
    head = head_of(width=16, proposals="boxes").train()
    torch.nn.init.zeros_(head.refine.weight)  # boxes stay where they are
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for step in range(30):
        batch = drawn(step)
        loss = head.losses(head(batch), batch)["region"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        answers = head.eval().answers(head(drawn(1000, items=12)))
    first = [answers[3 * item + 1].boxes[0].tolist() for item in range(12)]
    right = [iou(box, PLACES[item % 2].tolist()) > 0.5 for item, box in enumerate(first)]
    assert sum(right) >= 10


@pytest.mark.parametrize("proposals", ["grid", "grid+boxes"])
def test_the_commands_train_measure_and_ask_it(stvr, place, tmp_path, proposals):
    _, store, pairs = place
    (tmp_path / "own.toml").write_text(f'[head]\nwidth = 8\nproposals = "{proposals}"\n')
    done = stvr("train", "--store", store.path, "--pairs", pairs, "--head", "region_graph", "--preset", "small",
                "--config", tmp_path / "own.toml", "--steps", 2, "--batch-size", 2, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    assert "region" in done.out
    done = stvr("eval", "--checkpoint", tmp_path / "run", "--store", store.path, "--pairs", pairs, "--audit", "--limit",
                2, "--out", tmp_path / "eval")
    assert done.status == 0, done.err
    assert json.loads((tmp_path / "eval" / "eval.json").read_text())["evaluated"] == "2 of 5 pairs"
    done = stvr("locate", "--checkpoint", tmp_path / "run", "--store", store.path, "--query", "a", "--box",
                "0.2,0.1,0.6,0.9", "--at", 3, "b", "--out", tmp_path / "answers")
    assert done.status == 0, done.err
    assert (tmp_path / "answers" / "tubelets.jsonl").read_text()
