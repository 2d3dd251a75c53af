"""The arithmetic of the answer: geometry, linking and metrics. No networks, no files."""

from __future__ import annotations

from stvr.tubelets.geometry import clip_boxes, of_label, to_pixels, tube_cover, tube_iou, tube_volume_iou
from stvr.tubelets.linking import link
from stvr.tubelets.metrics import (
    COCO_THRESHOLDS,
    THRESHOLDS,
    ClipRecord,
    FrameMAP,
    PairRecord,
    average_precision,
    frame_map,
    match_clip,
    precision_recall_curves,
    proposal_recall,
)
from stvr.tubelets.probes import PROBES, probe_records

__all__ = [
    "COCO_THRESHOLDS", "PROBES", "THRESHOLDS", "ClipRecord", "FrameMAP", "PairRecord", "average_precision",
    "clip_boxes", "frame_map", "link", "match_clip", "of_label", "precision_recall_curves", "probe_records",
    "proposal_recall", "to_pixels", "tube_cover", "tube_iou", "tube_volume_iou",
]  # fmt: skip
