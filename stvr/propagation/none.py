"""No propagation: every clip stands alone, the paper's "Clip" row."""

from __future__ import annotations

from torch import Tensor

from stvr.config import Options
from stvr.propagation.propagation import Propagation, PropagationEntry


class NoPropagation(Propagation):
    """Returns the features as they are."""

    def stream(self, features: Tensor, state: None = None, flow: Tensor | None = None) -> tuple[Tensor, None]:
        return features, None


NONE = PropagationEntry(Options, lambda channels, options: NoPropagation())
