"""Backbones: clips of frames become feature maps. The menu is BACKBONES."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stvr.backbones.analytic import analytic_state
from stvr.backbones.fold import fold
from stvr.backbones.i3d import ENDPOINTS, I3D, scale
from stvr.backbones.image import IMAGE_BACKBONES, load_image_network
from stvr.backbones.runtimes import RUNTIMES
from stvr.backbones.taps import Taps, deepest, named_cuts, state_up_to

__all__ = ["BACKBONES", "ENDPOINTS", "I3D", "PRECISIONS", "RUNTIMES", "Backbone", "load_backbone"]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}  # and "auto", which chooses


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """A network ready for inference, and what a store of its features must say about it.

    weights: the file's name, or "analytic"; weights_digest: "sha256:...", equal for equal weights in any file format;
    precision: "float32" or "bfloat16", what the network computes in; "bfloat16 by openvino" where torch as it is does
    not, because the last bits differ. Of several endpoints there are as many digests, with commas between them.
    network: of clips (B, T, H, W, 3) uint8, gives maps (B, C, time, row, column).
    """

    name: str
    weights: str
    weights_digest: str
    endpoint: str
    precision: str
    network: nn.Module
    device: torch.device

    @torch.inference_mode()
    def __call__(self, frames: Tensor) -> Tensor:
        """Clips (B, T, H, W, 3) uint8, RGB -> features (B, time, row, column, channel), floats of 2 or 4 bytes.

        8 x 320 x 320 at Mixed_4c gives (B, 2, 20, 20, 512). Logits are a map too; their mean over time, row and
        column is a clip's. On a CPU the clips go two by two, which is fastest. There the bits are the same for every
        batch and number of threads; the README has the exceptions.
        """
        (only,) = self.maps(frames)
        return only

    @torch.inference_mode()
    def maps(self, frames: Tensor) -> tuple[Tensor, ...]:
        """As calling it, for each of the endpoints that `endpoint` names with commas between them."""
        if frames.ndim != 5 or frames.shape[-1] != 3 or frames.dtype != torch.uint8 or not len(frames):
            raise ValueError(f"wanted clips (B, T, H, W, 3) of uint8, came {tuple(frames.shape)} of {frames.dtype}. "
                             "Give RGB frames as they were decoded.")
        if self.device.type == "cuda":
            parts = [frames.pin_memory().to(self.device, non_blocking=True)]
        else:
            parts = [clips.to(self.device) for clips in frames.tensor_split(max(len(frames) // 2, 1))]  # odd: a three
        outputs = [self.network(clips) for clips in parts]
        if isinstance(outputs[0], Tensor):
            return (torch.cat(outputs).movedim(1, -1),)
        return tuple(torch.cat(each).movedim(1, -1) for each in zip(*outputs, strict=True))


class FromFrames(nn.Module):
    """A video network as a function of decoded frames (B, T, H, W, 3) uint8."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Any:
        return self.network(scale(frames).to(next(self.network.parameters()).dtype))


def load_backbone(
    name: str = "i3d",
    weights: Path | None = None,
    endpoint: str | None = None,
    precision: str = "auto",
    device: str | torch.device = "cpu",
    runtime: str = "torch",
) -> Backbone:
    """The backbone `name`, cut at `endpoint`, with the weights of a file; I3D has analytic ones where None is given.

    endpoint: None is where each is cut usually: Mixed_4c of I3D, the map with a cell for 16 x 16 pixels of the others.
    Of I3D several, with commas between them, in one run: see `Backbone.maps`; "Mixed_5c.mean" is the mean of a map.
    precision: "auto" is bfloat16 where the device has it natively, float32 elsewhere. On CUDA, float32 follows
    torch's own switch for TF32. The number of threads is torch's: `torch.set_num_threads`.
    Raises LookupError for a name that is on no menu, FileNotFoundError or ValueError for weights that do not fit.
    """
    if name not in BACKBONES:
        raise LookupError(f"there is no backbone {name!r}. Choose one of {', '.join(BACKBONES)}.")
    device = torch.device(device)
    precision, _, told = precision.partition(" by ")  # as a store notes it
    runtime = told or runtime
    if runtime not in RUNTIMES:
        raise LookupError(f"there is no runtime {runtime!r}. Choose one of {', '.join(RUNTIMES)}.")
    if endpoint and "," in endpoint and runtime != "torch":
        raise ValueError(f"several endpoints in one run need the runtime torch, not {runtime}. "
                         "Name one, or give --runtime torch.")
    precision = chosen_precision(precision, device)
    network, endpoint, weights_digest = BACKBONES[name](weights, endpoint)
    network = RUNTIMES[runtime](network.to(device), PRECISIONS[precision])
    by = "" if runtime == "torch" else f" by {runtime}"
    return Backbone(
        name, weights.name if weights else "analytic", weights_digest, endpoint, precision + by, network, device
    )  # fmt: skip


def load_i3d(weights: Path | None, endpoint: str | None) -> tuple[nn.Module, str, str]:
    """I3D folded for inference, its endpoints as the menu spells them, the digest of the weights that each uses."""
    from stvr.backbones.weights import digest, load_state, read_state, sizes  # readers of files: not needed to build

    cuts = named_cuts(endpoint or "Mixed_4c")
    if weights is None:
        warn_of_analytic_weights()
        model = I3D(deepest(cuts))
        load_state(model, analytic_state(model), "analytic")
    else:
        state = read_state(weights)
        model = I3D(deepest(cuts), num_classes=sizes(state)[1])
        load_state(model, state, str(weights))
    network = fold(model) if cuts == [model.endpoint] else Taps(fold(model), cuts)
    return FromFrames(network), ",".join(cuts), ",".join(digest(state_up_to(model, cut)) for cut in cuts)


def chosen_precision(precision: str, device: torch.device) -> str:
    """Resolves "auto"."""
    if precision == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    if precision not in PRECISIONS:
        raise LookupError(f"there is no precision {precision!r}. Choose one of auto, {', '.join(PRECISIONS)}.")
    return precision


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; where it does not, bfloat16 is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@cache
def warn_of_analytic_weights() -> None:
    """Once a process, one line."""
    logging.getLogger("stvr").warning(
        "no weights were given: the backbone uses analytic ones, which see motion but were never trained. "
        "Give trained ones with --weights FILE (rgb_imagenet.pt, .safetensors or TensorFlow's model.ckpt)."
    )


BACKBONES: dict[str, Callable[[Path | None, str | None], tuple[nn.Module, str, str]]] = {
    "i3d": load_i3d, **{name: partial(load_image_network, name) for name in IMAGE_BACKBONES},
}  # fmt: skip
