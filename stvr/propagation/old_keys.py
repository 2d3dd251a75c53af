"""Names of weights in checkpoints of format 1, from before a cell was put together of an aligner and gates."""

from __future__ import annotations

CELL = "propagation.cell."
RENAMED = {
    "offsets.": "aligner.offsets.",
    "structure.": "aligner.structure.",
    "join.": "aligner.join.",
    "depthwise.": "gates.depthwise.",
    "pointwise.": "gates.pointwise.",
    "expand.": "gates.expand.",
    "gate_norm.": "gates.gate_norm.",
    "memory_norm.": "gates.memory_norm.",
    "plain.gates.": "gates.convolution.",
}


def renamed(key: str) -> str:
    """Today's name of a head's weight that format 1 calls `key`; any other name as it is."""
    for old, new in RENAMED.items():
        if key.startswith(CELL + old):
            return CELL + new + key.removeprefix(CELL + old)
    return key
