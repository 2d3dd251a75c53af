"""How a kernel file lists what must compile, so that `scripts/compile_kernels.py` can try it without a GPU.

Each `stvr/kernels/*/*kernel.py` has a function `compile_cases(backend) -> list[CompileCase]`, backend "cuda" or "hip":
at least one case for every kernel that is launched (a function under `triton.jit` whose name has no leading
underscore), with the sizes and options that its launcher uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CompileCase:
    """One kernel at one set of types and sizes.

    label: what differs between the cases of one kernel, as in "bfloat16". kernel: the jitted function.
    arguments: Triton's type of each run-time argument, {"flow_pointer": "*fp32", "rows": "i32"}; pointers count as
    aligned to 16 bytes, as torch's are. constants: the value of each tl.constexpr argument.
    """

    label: str
    kernel: Any
    arguments: Mapping[str, str]
    constants: Mapping[str, Any]
    num_warps: int = 4
    num_stages: int = 2
    options: Mapping[str, Any] = field(default_factory=lambda: {"enable_fp_fusion": True})

    @property
    def name(self) -> str:
        return f"{self.kernel.fn.__name__} {self.label}"
