"""Backbones: clips of frames become feature maps. The menu is BACKBONES."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch

from stvr.backbones.backbone import Backbone, Loaded
from stvr.backbones.i3d import ENDPOINTS, I3D
from stvr.backbones.image import IMAGE_BACKBONES, load_image_network
from stvr.backbones.resnet3d import RESNETS_3D, load_resnet3d
from stvr.backbones.runtimes import RUNTIMES, check_bfloat16, has_bfloat16, runs_by_winograd
from stvr.backbones.video import VIDEO_BACKBONES, load_video_network
from stvr.backbones.weights.named import DEFAULT, name_of, weights_file
from stvr.menus import Menu

__all__ = ["BACKBONES", "ENDPOINTS", "I3D", "PRECISIONS", "RUNTIMES", "Backbone", "Loaded", "load_backbone"]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}  # and "auto", which chooses

BACKBONES: Menu[Callable[[Path | None, str | None], Loaded]] = Menu("backbone", "stvr.backbones", {
    "i3d": "stvr.backbones.inflated:load_i3d",
    "i3d_r50": "stvr.backbones.i3d_r50:load_i3d_r50",
    **{name: partial(load_resnet3d, name) for name in RESNETS_3D},
    **{name: partial(load_image_network, name) for name in IMAGE_BACKBONES},
    **{name: partial(load_video_network, name) for name in VIDEO_BACKBONES},
})  # fmt: skip


def load_backbone(
    name: str = "i3d",
    weights: Path | str | None = None,
    endpoint: str | None = None,
    precision: str = "auto",
    device: str | torch.device = "cpu",
    runtime: str = "torch",
) -> Backbone:
    """The backbone `name`, cut at `endpoint`, with the weights of a file, or fetched ones by name.

    weights: what `weights_file` takes. None and "analytic" give I3D its analytic weights; None warns of them.
    endpoint: None is the usual one: Mixed_4c of I3D, of other networks the map with a cell for 16 x 16 pixels. I3D can
    give several in one run, separated by commas (see `Backbone.maps`); "Mixed_5c.mean" is the mean of a map.
    precision: "auto" is bfloat16 where the device has it natively, float32 elsewhere. On CUDA, float32 follows
    torch's own switch for TF32. The number of threads is torch's: `torch.set_num_threads`. One that a store notes
    ("float32 by winograd") names the runtime, too.
    runtime: "auto" is winograd where it is faster, for I3D in float32 on a CPU, and torch elsewhere.
    Raises LookupError for a name that is on no menu, FileNotFoundError or ValueError for weights that do not fit,
    ValueError for bfloat16 on a CPU that has to imitate it.
    """
    load = BACKBONES[name]
    device = torch.device(device)
    precision, _, noted_runtime = precision.partition(" by ")  # as a store notes it
    runtime = noted_runtime or runtime
    if runtime not in ("auto", *RUNTIMES):
        raise LookupError(f"there is no runtime {runtime!r}. Choose one of auto, {', '.join(RUNTIMES)}.")
    if endpoint and "," in endpoint and runtime in ("compile", "openvino"):
        raise ValueError(f"several endpoints in one run need the runtime torch, not {runtime}. "
                         "Name one, or give --runtime torch.")
    if runtime == "winograd" and precision == "auto":
        precision = "float32"  # it has no other
    precision = chosen_precision(precision, device)
    if weights is None and name == "i3d":
        warn_of_analytic_weights()
    file = weights_file(weights)
    network, endpoint, weights_digest = load(file, endpoint)
    plain = network.to(device)
    if runtime == "auto":
        faster = precision == "float32" and device.type == "cpu" and runs_by_winograd(plain)
        runtime = "winograd" if faster else "torch"
    network = RUNTIMES[runtime](plain, PRECISIONS[precision])
    precision += "" if runtime == "torch" else f" by {runtime}"
    return Backbone(name, name_of(file), weights_digest, endpoint, precision, network, device, plain)


@cache
def warn_of_analytic_weights() -> None:
    """One line, once a process."""
    logging.getLogger("stvr").warning(
        "no weights were given: the backbone uses analytic ones, which see motion but were never trained. "
        f"Get trained ones by `stvr weights fetch {DEFAULT}`, or give yours with --weights FILE (rgb_imagenet.pt, "
        ".safetensors or TensorFlow's model.ckpt)."
    )


def chosen_precision(precision: str, device: torch.device) -> str:
    """Resolves "auto"."""
    if precision == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    if precision not in PRECISIONS:
        raise LookupError(f"there is no precision {precision!r}. Choose one of auto, {', '.join(PRECISIONS)}.")
    if precision == "bfloat16":
        check_bfloat16(device)
    return precision
