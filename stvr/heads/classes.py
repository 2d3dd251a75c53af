"""What heads of the task "labels" share: a score for each class, what they are trained on, what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor
from torch.nn import functional as F

from stvr.heads.entry import ClassOptions
from stvr.heads.head import Head
from stvr.structures import LabelBatch

OfClasses = TypeVar("OfClasses", bound=ClassOptions)


@dataclass(frozen=True, slots=True, eq=False)
class ClassScores:
    """scores (B, classes), before a softmax or a sigmoid; embedding (B, D), from which they are made."""

    scores: Tensor
    embedding: Tensor


class ClassHead(Head):
    """A head that gives ClassScores. loss: as in ClassOptions."""

    def __init__(self, loss: str) -> None:
        super().__init__()
        self.loss = loss

    def losses(self, outputs: ClassScores, batch: LabelBatch) -> dict[str, Tensor]:
        """The mean over the stretches; of several labels at once also over the classes."""
        if self.loss == "softmax":
            return {"cross_entropy": F.cross_entropy(outputs.scores, batch.labels)}
        truth = F.one_hot(batch.labels, outputs.scores.shape[1]) if batch.targets is None else batch.targets
        return {"binary_cross_entropy": F.binary_cross_entropy_with_logits(outputs.scores, truth.to(outputs.scores))}

    def answers(self, outputs: ClassScores) -> Tensor:
        """Probabilities (B, classes): that sum to 1, or each by itself."""
        scores = outputs.scores.float()
        return scores.softmax(-1) if self.loss == "softmax" else scores.sigmoid()


def check_classes(options: ClassOptions) -> None:
    if not options.classes:
        raise ValueError("a classifier needs the names of its classes, as `stvr train` takes them from the labels.")


def named(options: OfClasses, classes: Sequence[str]) -> OfClasses:
    return options.model_copy(update={"classes": tuple(classes)})
