"""Boxes that come with the clips: a detector's, or another head's proposals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from stvr.heads.head import Localizer
from stvr.structures import Features

if TYPE_CHECKING:
    from stvr.heads.entry import Reads


class Proposer(nn.Module):
    """A trained head, of which only the boxes are wanted. endpoints: the maps that it reads.

    ValueError, in words for the user, for a head that has no boxes of its own.
    """

    def __init__(self, head: nn.Module, endpoints: Sequence[str], reads: Reads) -> None:
        super().__init__()
        if not isinstance(head, Localizer) or type(head).proposals_of is Localizer.proposals_of:
            raise ValueError("the proposer has no proposals of its own. Name the checkpoint of a matching head.")
        if reads.flow or reads.boxes:
            raise ValueError("the proposer reads optical flow or a detector's boxes. Name one that reads maps alone.")
        self.head, self.endpoints = head, tuple(endpoints)

    def stream(self, state: Any, features: Features) -> tuple[Any, Tensor]:
        """The next clips, from the state after the last: the next state, and boxes (T, G, 4) padded with zeros."""
        own = Features({endpoint: features.maps[endpoint] for endpoint in self.endpoints})
        state, look = self.head.stream(state, own)
        return state, padded_boxes(self.head.proposals_of(look) or []).to(features.first)


def given_boxes(boxes: Tensor | None) -> Tensor:
    """A detector's boxes (..., G, 4). ValueError, in words for the user, where there are none."""
    if boxes is None:
        raise ValueError("the head takes its candidates from a detector, but these clips come without boxes. Extract "
                         "the video with `stvr extract --boxes DETECTOR` and name its --store.")
    return boxes


def padded_boxes(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes (K, 4) of each clip -> (T, K, 4), padded with zeros to one at least."""
    padded = pad_sequence(list(boxes), batch_first=True)
    return padded if padded.shape[1] else padded.new_zeros(len(boxes), 1, 4)
