"""What is around a keyframe: the clips before and after it, the people at it and where they are some seconds on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stvr.store import FeatureStore
from stvr.structures import PeopleBatch, Span
from stvr.tasks.people.file import Keyframe
from stvr.tubelets.geometry import mirrored

SECONDS = 2  # before and after, as far as any step of STEP anticipates

Boxes = Mapping[tuple[str, int], Mapping[str, tuple[float, ...]]]  # (video, second) -> a person's name -> the box


@dataclass(frozen=True, slots=True, eq=False)
class KeyframeItem:
    """One keyframe, read: window maps (F, H, W, C) by endpoint; the others as in `PeopleBatch`, without padding."""

    window: Mapping[str, Tensor]
    boxes: Tensor
    classes: Tensor
    around: Tensor
    around_mask: Tensor


def boxes_by_moment(keyframes: Sequence[Keyframe]) -> Boxes:
    return {(each.video, each.second): {person.name: person.box for person in each.people} for each in keyframes}


def read_window(store: FeatureStore, clip: Span, reach: int, flipped: bool = False) -> dict[str, Tensor]:
    """Maps (F, H, W, C) of a clip and `reach` to either side; at an end of the video the last one repeats."""
    last = store.num_clips(clip.video) - 1
    wanted = [min(max(number, 0), last) for number in range(clip.start - reach, clip.start + reach + 1)]
    maps = store.read_features(Span(clip.video, wanted[0], wanted[-1] + 1), flipped=flipped).maps
    return {name: each[[number - wanted[0] for number in wanted]] for name, each in maps.items()}


def read_keyframe(
    store: FeatureStore, keyframe: Keyframe, clip: Span, reach: int, classes: Sequence[str], every: Boxes,
    flipped: bool = False,
) -> KeyframeItem:  # fmt: skip
    """A keyframe with its people; classes that are not among `classes` are left out. flipped: its mirror image."""
    people, number = keyframe.people, {name: index for index, name in enumerate(classes)}
    shown = torch.zeros(len(people), len(classes))
    around = torch.zeros(len(people), 2 * SECONDS + 1, 4)
    known = torch.zeros(len(people), 2 * SECONDS + 1, dtype=torch.bool)
    for row, person in enumerate(people):
        shown[row, [number[name] for name in person.classes if name in number]] = 1
        for place, offset in enumerate(range(-SECONDS, SECONDS + 1)):
            box = every.get((keyframe.video, keyframe.second + offset), {}).get(person.name)
            if box is not None:
                around[row, place], known[row, place] = torch.tensor(box), True
    boxes = torch.tensor([person.box for person in people]).reshape(-1, 4)
    if flipped:
        boxes, around = mirrored(boxes), mirrored(around) * known[..., None]
    return KeyframeItem(read_window(store, clip, reach, flipped), boxes, shown, around, known)


def batch_of(items: Sequence[KeyframeItem], seeds: Sequence[int] | None = None) -> PeopleBatch:
    """Keyframes side by side, padded to the most people at any of them, at least one."""
    most = max(1, *(len(each.boxes) for each in items))
    def together(tensors: Sequence[Tensor]) -> Tensor:
        return torch.stack([padded(each, most) for each in tensors])

    return PeopleBatch(
        windows={name: torch.stack([each.window[name] for each in items]) for name in items[0].window},
        boxes=together([each.boxes for each in items]),
        classes=together([each.classes for each in items]),
        mask=together([torch.ones(len(each.boxes), dtype=torch.bool) for each in items]),
        around=together([each.around for each in items]),
        around_mask=together([each.around_mask for each in items]),
        seeds=None if seeds is None else torch.tensor(seeds),
    )


def padded(tensor: Tensor, length: int) -> Tensor:
    """(G, ...) -> (length, ...) with zeros below."""
    return torch.cat([tensor, tensor.new_zeros(length - len(tensor), *tensor.shape[1:])])
