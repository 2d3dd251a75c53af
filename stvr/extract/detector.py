"""Run a torchvision detector once on each video, and keep its region boxes beside the features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stvr.backbones.weights.load import digest, listed, read_state
from stvr.extract.detector_weights import DETECTORS, detector_kept_at
from stvr.extract.extractor import digest_of
from stvr.store import FeatureStore
from stvr.store.region_boxes import COLUMNS, FOLDER, detector_of, write_boxes
from stvr.video.copies import local
from stvr.video.decode import decode_clips
from stvr.video.source import Source
from stvr.video_names import names_of

CLASS_BIAS = "roi_heads.box_predictor.cls_score.bias"  # in the first four: one number for each class of the weights
BOXES_A_CLIP = 20


class Detector:
    """A torchvision detector. name: what a store notes with its boxes."""

    def __init__(self, name: str, network: nn.Module, weights_digest: str, device: str) -> None:
        self.name, self.network, self.device = f"{name} {weights_digest}", network.eval().to(device), device

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> NDArray[np.float32]:
        """pictures (B, S, S, 3) uint8 RGB -> (B, 20, 6), as `write_boxes` takes them."""
        side = pictures.shape[1]
        found = self.network(list(pictures.to(self.device).movedim(-1, 1).float() / 255))
        boxes = np.zeros((len(pictures), BOXES_A_CLIP, COLUMNS), np.float32)
        for rows, one in zip(boxes, found, strict=True):
            parts = [one["boxes"] / side, one["scores"][:, None], one["labels"][:, None].float()]  # best first
            best = torch.cat(parts, 1)[:BOXES_A_CLIP]
            rows[: len(best)] = best.cpu().numpy()
        return boxes


def load_detector(name: str, weights: Path | None = None, device: str = "cpu") -> Detector:
    """A detector by its name in DETECTORS, with torchvision's weights from a file, or those that have been fetched.

    Raises what `load_backbone` does.
    """
    from torchvision.models import get_model

    if name not in DETECTORS:
        raise LookupError(f"there is no detector {name!r}. Choose one of {', '.join(DETECTORS)}.")
    file = weights or detector_kept_at(name)
    if weights is None and not file.is_file():
        raise LookupError(f"the weights of {name} have not been fetched. Run `stvr weights fetch {name}`, or give "
                          "torchvision's with --boxes-weights FILE.")
    state = read_state(file)
    known = state.get(CLASS_BIAS)
    classes: dict[str, Any] = {} if known is None else {"num_classes": len(known)}
    network = get_model(name, weights=None, weights_backbone=None, **classes)
    needed = network.state_dict()
    misfits = [key for key in needed.keys() | state.keys()
               if key not in state or key not in needed or state[key].shape != needed[key].shape]
    if misfits:
        raise ValueError(f"{file}: wanted torchvision's weights of {name}, but these do not fit: "
                         f"{listed(sorted(misfits))}. Give its own file.")
    network.load_state_dict(state)
    return Detector(name, network, digest(state), device)


def detect(
    sources: Mapping[str, Source] | Sequence[Source], store: FeatureStore, detector: Detector, batch_size: int = 8,
    tell: Callable[[str], None] = lambda video: None,
) -> list[str]:  # fmt: skip
    """Runs the detector on the middle frame of every clip of the videos in the store; returns those that had no boxes.

    sources: files, or files by the names of their videos.

    Frames are squares, as the backbone is fed. ValueError when a video has boxes of another detector, or its file is
    not the one that its features were made from.
    """
    done: list[str] = []
    store.place.tidy(FOLDER)
    for video, source in (sources if isinstance(sources, Mapping) else names_of(sources)).items():
        if video not in store:  # it failed, or another run has it
            continue
        earlier = detector_of(store, video)
        if earlier == detector.name:
            continue
        if earlier is not None:
            raise ValueError(f"{video!r} has boxes of {earlier}, not of {detector.name}. "
                             f"Remove {store}/.boxes and run the same command again to make all boxes anew.")
        with local(source) as (path, _):
            if digest_of(path) != store.info(video)["digest"]:
                raise ValueError(f"{source} is not the file that {video!r} was made from. Give that file.")
            write_boxes(store, video, _boxes_of(path, store, detector, batch_size), detector.name)
        done.append(video)
        tell(video)
    return done


def _boxes_of(path: Path, store: FeatureStore, detector: Detector, batch_size: int) -> NDArray[np.float32]:
    spec, waiting, boxes = store.spec, list[NDArray[np.uint8]](), list[NDArray[np.float32]]()
    for _, frames, _ in decode_clips(path, spec.clip, resize=spec.resize):
        waiting.append(frames[len(frames) // 2])
        if len(waiting) == batch_size:
            boxes.append(detector(torch.from_numpy(np.stack(waiting))))
            waiting = []
    if waiting:
        boxes.append(detector(torch.from_numpy(np.stack(waiting))))
    return np.concatenate(boxes)
