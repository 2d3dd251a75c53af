"""Progressive tubelets: sizes as published, sampling by hand, what must not change an answer, training to the end."""

from __future__ import annotations

import pytest
import torch
from tiny import TWO, spec_of
from torch.nn import functional as F

from stvr.backbones import I3D
from stvr.config import fill
from stvr.heads.checkpoint import load_head
from stvr.heads.late import take
from stvr.heads.progressive_assembly import PRESETS, ProgressiveOptions, build_progressive
from stvr.heads.progressive_losses import Trained, match_loss
from stvr.heads.tube_samples import NOBODY, Samples, draw_of_one, neighbours_of
from stvr.heads.two_branch import ContextBranch, MixedTail, build_step
from stvr.jobs.evaluate import evaluate
from stvr.jobs.train import train, train_options
from stvr.structures import Features, Query
from stvr.tasks.pairs.dataset import Item, collate

TINY = {**PRESETS["small"]["head"], "width": 8, "reduced": 4, "hidden": 8, "bottleneck": 4, "values": 6}


def head_of(**options: object):
    torch.manual_seed(0)
    return build_progressive(fill(ProgressiveOptions, {**TINY, **options}), spec_of(8))


def item(seed: int, num_clips: int = 9, num_queries: int = 2) -> Item:
    """Somebody does the query's action, somebody else another one."""
    draw = torch.Generator().manual_seed(seed)
    maps, query = ({"Mixed_4c": torch.rand(count, 10, 10, 8, generator=draw)} for count in (num_clips, num_queries))
    boxes = torch.tensor([[0.2, 0.1, 0.6, 0.9], [0.6, 0.2, 0.9, 0.8]]).repeat(num_clips, 1, 1)
    labels = torch.tensor([2, 1]).repeat(num_clips, 1)
    return Item(maps, query, boxes[0, :1].repeat(num_queries, 1), boxes, labels, seed)


def features(seed: int, count: int) -> Features:
    return Features({"Mixed_4c": torch.rand(count, 10, 10, 8, generator=torch.Generator().manual_seed(seed))})


def query_of(head) -> Query:
    return Query((), head.pool(features(7, 2), torch.tensor([0.2, 0.1, 0.6, 0.9]).repeat(2, 1)))


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_networks_have_the_sizes_of_the_released_ones():
    """Counted by others in the released program; no number is stored here, so none is drawn."""
    with torch.device("meta"):
        step = build_step(MixedTail("Mixed_5b", "Mixed_5c"), 832, 1024, context_width=1024, num_outputs=60,
                          anticipates=True)  # fmt: skip
        context = ContextBranch(MixedTail("Mixed_5b", "Mixed_5c"))
        assert count(I3D("Mixed_4f")) == 7_528_256
        assert (count(context), count(step)) == (4_759_008, 10_721_320)
        assert context(torch.empty(1, 832, 9, 25, 25)).shape == (1, 9, 1024)
        regions = torch.empty(34, 832, 3, 7, 7)
        reduced, values = step.what(regions, torch.empty(34, 3, 1024))
        assert values.mean(1).shape == (34, 60)
        assert all(codes.shape == (34, 3, 4) for codes in step.where(torch.cat([regions, reduced], 1)))
        tail = MixedTail("Mixed_4d", "Mixed_4f")
        assert tail(torch.empty(1, 512, 9, 25, 25)).shape == (1, 832, 9, 25, 25)
        assert round(count(tail) / 1e6, 2) == 4.26


@pytest.mark.parametrize("options", [
    {"context": True, "dropout": 0.3}, {"chunks": (1, 3, 3, 5), "positive_from": (0.2, 0.3, 0.4, 0.5)},
    {"extension": "extrapolate", "grid": 2}, {"extension": "mean"},
])  # fmt: skip
def test_gradients_reach_every_parameter(options):
    head = head_of(**options).train()
    batch = collate([item(0, 11), item(1, 11), item(2, 8)])
    losses = head.losses(head(batch), batch)
    assert ("neighbour" in losses) == (options.get("extension") is None)
    sum(losses.values()).backward()
    silent = [name for name, parameter in head.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert silent == []


@pytest.mark.slow
def test_gradients_reach_every_parameter_of_i3ds_own_layers_but_its_batch_norms():
    options = ProgressiveOptions(chunks=(1,), positive_from=(0.2,))
    head = build_progressive(options, SPEC_4C).train()
    maps = {"Mixed_4c": torch.rand(3, 5, 5, 1024)}
    box = torch.tensor([0.2, 0.1, 0.6, 0.9]).repeat(3, 1)
    batch = collate([Item(maps, maps, box, box[:, None], torch.full((3, 1), 2), 0)])
    sum(head.losses(head(batch), batch).values()).backward()
    assert {name.rsplit(".", 2)[1] for name, each in head.named_parameters() if not each.requires_grad} == {"bn"}
    assert all(each.grad.any() for each in head.parameters() if each.requires_grad)
    assert not any(module.training for module in head.modules() if isinstance(module, torch.nn.BatchNorm3d))


SPEC_4C = spec_of(1024)  # two time steps of 512 channels


@torch.no_grad()
@pytest.mark.parametrize("sizes", [(1,) * 11, (4, 7), (2, 9)])
def test_a_stream_answers_as_one_look(sizes):
    head, reference = head_of(context=True).eval(), features(1, 11)
    query, state, answers, start = query_of(head), None, [], 0
    for size in sizes:
        state, look = head.stream(state, reference.part(slice(start, start + size)))
        answers += head.ask(look, query)
        start += size
        assert len(answers) == max(0, start - 4)  # nine clips are seen together
    answers += head.ask(head.finish(state), query)
    whole = head.ask(head.look(reference), query)
    assert len(answers) == len(whole) == 11
    for ours, theirs in zip(answers, whole, strict=True):
        torch.testing.assert_close(ours.boxes, theirs.boxes, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.scores, theirs.scores, atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_answer_does_not_depend_on_its_neighbours_in_the_batch():
    head = head_of(context=True).eval()
    alone, crowded = collate([item(0, 3)]), collate([item(0, 3), item(1, 5, 4)])
    ours, theirs = head.answers(head(alone)), head.answers(head(crowded))
    assert [len(clip.boxes) > 0 for clip in theirs] == [True] * 3 + [False] * 2 + [True] * 5
    for one, other in zip(ours, theirs[:3], strict=True):
        torch.testing.assert_close(one.boxes, other.boxes, atol=1e-5, rtol=0)
        torch.testing.assert_close(one.scores, other.scores, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_given_box_is_scored_as_a_tube_that_stands_still():
    """With one step alone the head itself scores the grid, standing still."""
    head = head_of(chunks=(1,), positive_from=(0.2,)).eval()
    query, look = query_of(head), head.look(features(1, 4))
    scores = head.score_boxes(look, query, [head.progression.first / 160, look.boxes[1, :0], *look.boxes[2:, :2]])
    wanted = torch.sigmoid(head.scale[0] * F.cosine_similarity(look.values, query.regions["step1"].mean(0), dim=-1)
                           + head.bias[0])  # fmt: skip
    assert [len(each) for each in scores] == [34, 0, 2, 2]
    torch.testing.assert_close(scores[0], wanted[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_detections_lie_in_the_picture_best_first():
    head = head_of().eval()
    query, look = query_of(head), head.look(features(1, 3))
    for found, proposals in zip(head.ask(look, query), head.proposals_of(look, query), strict=True):
        assert 0 < len(found.boxes) <= 30
        assert found.boxes.min() >= 0
        assert found.boxes.max() <= 1
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        assert torch.equal(proposals[0], found.boxes[0])


def test_at_an_end_of_the_video_the_last_clip_repeats():
    frames = head_of().progression.frames(torch.tensor([0, 3]), 5)
    assert frames.tolist() == [[0, 0, 0, 0, 0, 1, 2, 3, 4], [0, 0, 1, 2, 3, 4, 4, 4, 4]]


def test_every_third_step_extends_its_tubes_and_keeps_their_middle():
    """Steps that say nothing: codes of 0 leave each box where it is, before and after alike."""
    head = head_of().eval()
    for step in head.progression.steps:
        for layer in (step.where.box, step.where.before, step.where.after):
            if layer is not None:
                torch.nn.init.zeros_(layer.weight)
    window = head.progression.window(torch.rand(1, 9, 10, 10, 8))
    tubes, keys = head.progression.first_tubes(1)[0], torch.zeros(34, dtype=torch.long)
    sizes = []
    for number in range(3):
        outputs = head.progression.see(number, window, keys, tubes)
        tubes = head.progression.advance(number, outputs, tubes)
        sizes.append(tubes.shape[1])
        torch.testing.assert_close(tubes, head.progression.first[:, None].expand_as(tubes), atol=1e-3, rtol=0)
    assert sizes == [3, 9, 9]


def test_every_person_has_a_tube_and_each_tube_two_that_show_nobody():
    """By hand; the second person is so thin that no candidate reaches the threshold."""
    candidates = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 60, 60], [70, 70, 80, 80], [90, 90, 99, 99],
                               [30, 30, 40, 40], [33, 33, 43, 43]])  # fmt: skip
    truth = torch.tensor([[0.0, 0, 10, 9.5], [51, 50, 53, 60]])
    scores = torch.tensor([0.0, 0, 0, 0, 0, 0, 50])  # the last one is the hardest
    rows, owner = draw_of_one(candidates, scores, truth, 0.5, torch.Generator().manual_seed(0))
    positive = dict(zip(rows[owner != NOBODY].tolist(), owner[owner != NOBODY].tolist(), strict=True))
    assert positive == {0: 0, 1: 0, 2: 1}  # the second fills up; the third only shares 0.2 with its person
    negatives = rows[owner == NOBODY].tolist()
    assert sorted(negatives) == [3, 4, 5, 6]  # six are wanted, four are there
    rows, owner = draw_of_one(candidates, scores, truth[:0], 0.5, torch.Generator().manual_seed(0))
    assert (owner == NOBODY).all()
    assert len(rows) == 2
    assert 6 in rows


def test_a_person_is_followed_to_the_tubelets_before_and_after():
    """One walks to the right and leaves after the fifth clip; the other stands still at the far side."""
    label = torch.tensor([2, 1])
    walk = [torch.tensor([[4.0 * clip, 0, 4.0 * clip + 10, 20], [80, 0, 90, 20]]) for clip in range(5)]
    seen = [(boxes.flip(0) if clip % 2 else boxes, label) for clip, boxes in enumerate(walk)]
    samples = Samples(
        torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2]), torch.tensor([0, 1, NOBODY]),
        torch.stack([walk[3][0], walk[3][1], walk[3][0]]), torch.tensor([True, False, False]),
    )  # fmt: skip
    boxes, known = neighbours_of(samples, torch.tensor([[0, 3]]), [[*seen, (walk[0][:0], label)]], 3)
    assert known.tolist() == [[True, False], [True, False], [False, False]]
    assert boxes[:2, 0].tolist() == walk[0].tolist()


def test_a_tube_is_held_against_every_query_of_which_it_is_known():
    """Two of three queries ask for the same; by hand, of what each tube shows."""
    samples = Samples(torch.zeros(3, dtype=torch.long), torch.arange(3), torch.tensor([0, 1, NOBODY]),
                      torch.zeros(3, 4), torch.tensor([True, False, False]))  # fmt: skip
    step = Trained(samples, torch.tensor([0, 1, 2]), torch.zeros(0), None, None)
    logits = torch.arange(9.0).reshape(3, 3) / 4 - 1
    shows_the_first, shows_another, shows_nobody = logits
    wanted = torch.cat([F.softplus(-shows_the_first[[0, 2]]), F.softplus(shows_the_first[[1]]),
                        F.softplus(shows_another[[1]]), F.softplus(shows_nobody)]).mean()  # fmt: skip
    torch.testing.assert_close(match_loss(step, logits, torch.tensor([5, 6, 5])), wanted)


def test_clips_come_as_late_as_they_must_and_none_is_lost():
    held, given = None, []
    for start in range(0, 12, 4):
        ready = take(held, Features({"a": torch.arange(start, start + 4)[:, None, None, None]}), 3)
        held = ready.held
        seen = ready.features.only.flatten().tolist()
        given += seen[ready.start : ready.stop]
        assert min(seen) == max(0, start - 6)
    assert given == list(range(9))


@pytest.mark.parametrize(("options", "said"), [
    ({"chunks": (1, 2)}, r"each the one before or two more, as in \[1, 1, 3\], got \[1, 2\]"),
    ({"chunks": (1, 1)}, "for each of the 2 steps of chunks, got 3"),
    ({"tube_clips": 4}, "wanted an odd number of clips, got 4"),
])  # fmt: skip
def test_steps_that_do_not_fit_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        fill(ProgressiveOptions, options)


def test_i3ds_own_layers_want_the_maps_that_they_were_made_for():
    with pytest.raises(ValueError, match=r"of Mixed_5c with 6 channels. Extract with --endpoint Mixed_4f, or train"):
        build_progressive(ProgressiveOptions(), TWO.only(["Mixed_5c"]))


def test_it_trains_goes_on_and_is_evaluated_like_any_head(store, pairs, tmp_path):
    flags = {"head": {"name": "progressive", **TINY}, "batch_size": 2, "save_every": 1, "log_every": 1,
             "window_seconds": 2.0}  # fmt: skip
    run = train(store, pairs, tmp_path / "run", train_options("small", flags={**flags, "steps": 2})).run
    assert load_head(run).options.name == "progressive"
    figures = evaluate(run, store, pairs, limit=2, audit=True)
    assert figures["evaluated"] == "2 of 5 pairs"
    assert figures["frame_map"]["mean"].keys() == figures["shuffled_query"]["mean"].keys()
    assert (tmp_path / "run" / "log.jsonl").read_text().count('"neighbour"') == 2
