"""Errors, each made on purpose and found again."""

import torch

from stvr.metrics.frame_map import ClipRecord
from stvr.metrics.taxonomy import ClipScene, taxonomy
from stvr.structures import Span, Tubelet
from stvr.tubelets.actors import actors, same_actor

LEFT, RIGHT, TOP = [0.0, 0.0, 0.3, 1.0], [0.6, 0.0, 1.0, 1.0], [0.35, 0.0, 0.55, 0.2]
LOOSE = [0.0, 0.0, 0.3, 0.3]  # IoU .3 with LEFT


def boxes(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def scene(found, truth=(), others=(), other_times=(), proposals=()) -> ClipScene:
    rows, scores = [row for row, _ in found], [score for _, score in found]
    record = ClipRecord(boxes(*rows), torch.tensor(scores, dtype=torch.float64), boxes(*truth))
    return ClipScene(record, boxes(*others), torch.tensor(other_times, dtype=torch.bool), boxes(*proposals))


def counted(*scenes: ClipScene):
    result = taxonomy([("a", scenes)])
    return ({kind: n for kind, n in result.detections.items() if n}, {kind: n for kind, n in result.truth.items() if n})


def test_every_kind_of_error_is_told_apart():
    padding = scene([], truth=[LEFT] * 3, proposals=[LEFT])  # true boxes, so that six detections count
    scenes = [
        scene([(LEFT, 0.9), (LEFT, 0.8)], truth=[LEFT], proposals=[LEFT]),
        scene([(RIGHT, 0.7)], truth=[LEFT], others=[RIGHT], other_times=[False], proposals=[RIGHT]),
        scene([(LEFT, 0.6)], others=[LEFT], other_times=[True]),
        scene([(LOOSE, 0.5)], truth=[LEFT], proposals=[LEFT]),
        scene([(TOP, 0.4)], others=[RIGHT], other_times=[False]),
        padding,
    ]
    detections, truth = counted(*scenes)
    kinds = ("right", "duplicate", "wrong actor", "wrong time", "loose box", "background")
    assert detections == dict.fromkeys(kinds, 1)
    assert truth == {"found": 1, "missed proposal": 1, "missed match": 4}


def test_only_as_many_detections_count_as_there_are_true_boxes():
    noise = [(TOP, 0.1 + 0.01 * i) for i in range(20)]
    assert counted(scene([(LEFT, 0.9), *noise], truth=[LEFT], proposals=[LEFT])) == ({"right": 1}, {"found": 1})
    assert counted(scene(noise)) == ({}, {})


def test_labels_are_ranked_apart():
    good, bad = scene([(LEFT, 0.1)], truth=[LEFT]), scene([(RIGHT, 0.9), (TOP, 0.8)], truth=[LEFT])
    result = taxonomy([("a", [good]), ("b", [bad])])
    assert (result.detections["right"], result.detections["background"]) == (1, 1)


def test_an_actor_is_known_from_tubelet_to_tubelet():
    def tubelet(box, start, stop):
        return Tubelet(Span("v", start, stop), boxes(*[box] * (stop - start)))

    target = tubelet(LEFT, 10, 20)
    others = [tubelet(LEFT, 20, 25), tubelet(LEFT, 25, 30), tubelet(RIGHT, 20, 30), tubelet(LEFT, 40, 50)]
    assert same_actor([target], others) == [True, True, False, False]
    assert same_actor([], others) == [False] * 4
    twins = [tubelet(LEFT, 0, 5), tubelet(LEFT, 5, 9), tubelet(LEFT, 5, 9)]
    assert actors(twins) in ([0, 0, 2], [0, 1, 0])  # one goes on in one alone
