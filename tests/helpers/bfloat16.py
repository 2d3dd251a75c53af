"""Marks tests that compute in bfloat16, which is refused on a CPU that would have to imitate it."""

from __future__ import annotations

import pytest
import torch

from stvr.backbones import has_bfloat16

needs_bfloat16 = pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="needs a CPU with bfloat16")
BFLOAT16 = pytest.param("bfloat16", marks=needs_bfloat16)
