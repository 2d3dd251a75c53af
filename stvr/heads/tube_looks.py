"""What heads of progressive tubelets share: they look at a reference clip by clip, each clip with those around it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from stvr.backbones.i3d import I3D
from stvr.heads.head import Localizer
from stvr.heads.late import Held, take
from stvr.heads.progression import Progression
from stvr.heads.two_branch import MixedTail
from stvr.structures import Features


class TubeLooks(Localizer):
    """adapter: feature maps (..., C_in) -> (..., C), clip by clip, of the one endpoint that is read."""

    def __init__(self, adapter: nn.Module, progression: Progression) -> None:
        super().__init__()
        self.adapter, self.progression = adapter, progression
        self.reach = progression.reach

    def wants_features(self) -> bool:
        return hasattr(self.adapter, "calibrate")

    def calibrate(self, features: Features) -> None:
        self.adapter.calibrate(features.only)  # type: ignore[operator]

    def start_from(self, other: nn.Module) -> None:
        """I3D's own layers of every branch, from those of a trained I3D up to Mixed_5c."""
        own = [module for module in self.modules() if isinstance(module, MixedTail)]
        if not isinstance(other, I3D) or not own:
            raise ValueError("this head has no layers in common with what --start names. Leave --start out.")
        given = other.state_dict()
        for tail in own:
            tail.load_state_dict({name: given[name] for name in tail.state_dict()})

    def stream(self, state: Held | None, features: Features) -> tuple[Held, Any]:
        """Looks come late, by as many clips as the last step sees to either side."""
        ready = take(state, features, self.progression.reach)
        return ready.held, self.see(self.adapter(ready.features.only), ready.start, ready.stop)

    def finish(self, state: Held | None) -> Any | None:
        if state is None:
            return None
        return self.see(self.adapter(state.features.only), state.given, len(state.features))

    def look(self, features: Features) -> Any:
        return self.see(self.adapter(features.only), 0, len(features))

    def see(self, maps: Tensor, start: int, stop: int) -> Any:
        """The look at clips [start, stop) of adapted maps (T', H, W, C), of which the others are around."""
        raise NotImplementedError(f"{type(self).__name__} must define see().")
