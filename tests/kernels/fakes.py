"""What torch's tracer takes an operator's answers for, held against what they are."""

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map_only

ODD_SIZES = [(2, 5, 7, 33), (1, 4, 7, 33), (3, 1, 4, 5), (1, 1, 2, 2), (1, 6, 2, 9), (2, 3, 9, 2)]  # (B, C, H, W)


def layouts(values: Tensor) -> dict[str, Tensor]:
    """The same sizes, each in another order of memory; (B, C, H, W) with channels last among them."""
    last = values.movedim(1, -1).contiguous().movedim(-1, 1)
    return {
        "contiguous": values.contiguous(), "channels last": last, "expanded": values[:1].expand(values.shape),
        "transposed": values.mT.contiguous().mT, "every other": torch.stack([values, values], -1)[..., 0],
        "one of a sequence": torch.stack([last, last], 1)[:, 1],
    }  # fmt: skip


def assert_fake_is_real(operator, *inputs, longer_than=0):
    """Type, size, and the stride of every size that is longer than that: torch itself is in doubt about those of 1."""
    with FakeTensorMode() as mode:
        fake = operator(*tree_map_only(Tensor, mode.from_tensor, inputs))
    assert described(fake, longer_than) == described(operator(*inputs), longer_than)


def described(answers, longer_than) -> list[tuple]:
    return [
        (each.dtype, tuple(each.shape),
         [stride for size, stride in zip(each.shape, each.stride(), strict=True) if size > longer_than])
        for each in tree_leaves(answers)
    ]  # fmt: skip
