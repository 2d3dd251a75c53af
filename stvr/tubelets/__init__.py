"""The arithmetic of the answer: geometry, following and linking. No networks, no files."""

from __future__ import annotations

from stvr.tubelets.geometry import of_label, to_pixels, tube_cover, tube_iou
from stvr.tubelets.linking import LINKERS, OnlineLinker, link

__all__ = ["LINKERS", "OnlineLinker", "link", "of_label", "to_pixels", "tube_cover", "tube_iou"]
