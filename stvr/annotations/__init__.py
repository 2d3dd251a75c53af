"""Other people's annotation files: their names and moments become ours here; READERS is the table of sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stvr.menus import Menu

if TYPE_CHECKING:
    from stvr.annotations.reader import Reader

READERS: Menu[Reader] = Menu("reader", "stvr.readers", {
    "ava": "stvr.annotations.ava:AVA",
    "ucf101-24": "stvr.annotations.ucf101_24:UCF101_24",
    "table": "stvr.annotations.table:TABLE",
    "multisports": "stvr.annotations.multisports:MULTISPORTS",
    "jhmdb": "stvr.annotations.jhmdb:JHMDB",
    "cvat": "stvr.annotations.cvat:CVAT",
})  # fmt: skip
