"""No propagation: every clip stands alone, the paper's "Clip" row."""

from __future__ import annotations

from torch import Tensor

from stvr.propagation.recurrent import Propagation


class NoPropagation(Propagation):
    """Hands the features through."""

    def stream(self, features: Tensor, state: None = None, flow: Tensor | None = None) -> tuple[Tensor, None]:
        return features, None
