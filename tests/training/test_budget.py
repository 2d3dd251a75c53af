"""What a GPU would be asked for: operator calls of a training step, a look and a question, and nothing that waits.

At the paper's sizes, on tensors without numbers: see `counted`. Of the look, most calls are the propagation's, clip by
clip. Proposals that are windows ("map", "grid") wait; those of the proposal network, the default, are counted here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from counted import Counted
from torch import Tensor

from stvr.heads import build_head
from stvr.heads.matching import MatchingHead
from stvr.jobs.train import train_options
from stvr.propagation import gates
from stvr.specs import ClipSpec, FeatureSpec, MapSpec
from stvr.structures import Batch, Features, Query
from stvr.training.one_step import HeadLosses, build_optimizer, take_step

ITEMS, CLIPS, QUERY_CLIPS, TRUE_BOXES, SIDE, CHANNELS = 8, 6, 6, 4, 20, 1024  # Feng et al. 2019, section 6
SPEC = FeatureSpec("i3d", "made", "00", (MapSpec("Mixed_4c", 16, 2, CHANNELS // 2),), ClipSpec(image_size=16 * SIDE))
LOOKED_AT = 30  # clips: 10 s
STEP, LOOK, ASK = {"paper": 1500, "small": 1800}, 1500, 1500  # operator calls


@pytest.fixture
def as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """On "meta" as on a GPU: one call for the gates, and for all parameters at once."""
    ops = pytest.importorskip("stvr.kernels.lstm_gates.ops", reason="needs Triton, as a GPU does")
    monkeypatch.setattr(gates, "lstm_gates", lambda *args, forget_bias, epsilon: ops.lstm_gates(
        *args, forget_bias, epsilon))  # fmt: skip
    for module in ("torch.utils._foreach_utils", "torch.optim.optimizer"):
        monkeypatch.setattr(sys.modules[module], "_get_foreach_kernels_supported_devices", lambda: ["meta"])


def made_head(preset: str) -> MatchingHead:
    with torch.device("meta"):
        return build_head(train_options(preset).head, SPEC)


def maps(*size: int) -> dict[str, Tensor]:
    return {"Mixed_4c": torch.empty(*size, SIDE, SIDE, CHANNELS, device="meta")}


def made_batch() -> Batch:
    def whole(*size: int, dtype: torch.dtype = torch.long) -> Tensor:
        return torch.empty(ITEMS, *size, dtype=dtype, device="meta")

    return Batch(
        references=maps(ITEMS, CLIPS), reference_mask=whole(CLIPS, dtype=torch.bool),
        queries=maps(ITEMS, QUERY_CLIPS), query_boxes=whole(QUERY_CLIPS, 4, dtype=torch.float32),
        query_mask=whole(QUERY_CLIPS, dtype=torch.bool),
        target_boxes=whole(CLIPS, TRUE_BOXES, 4, dtype=torch.float32), target_labels=whole(CLIPS, TRUE_BOXES),
        asked=whole(), seeds=whole(),
    )  # fmt: skip


def assert_within(budget: int, run: Callable[[], object]) -> None:
    """The second time: what is made once and kept may come from the host."""
    run()
    with Counted() as counted:
        run()
    assert not counted.from_host
    assert 0 < counted.calls.total() <= budget, (counted.calls, counted.views)


@pytest.mark.parametrize("preset", STEP)
def test_a_training_step_keeps_to_its_budget_and_never_waits(preset, as_on_cuda):
    options, batch = train_options(preset), made_batch()
    trainee = HeadLosses(made_head(preset).train())
    optimizer = build_optimizer(trainee, options)
    assert_within(STEP[preset], lambda: take_step(trainee, optimizer, batch, options, 0, "cuda"))


@torch.no_grad()
def test_a_look_and_a_question_keep_to_their_budgets_and_never_wait(as_on_cuda):
    """Until the answer is read; `ask` waits once, to learn how many boxes there are."""
    head = made_head("paper").eval()
    clip = Features(maps(LOOKED_AT))
    query = Query((), head.pool(Features(maps(QUERY_CLIPS)), torch.empty(QUERY_CLIPS, 4, device="meta")))
    assert_within(LOOK, lambda: head.look(clip))
    look = head.look(clip)
    assert_within(ASK, lambda: head.find(look, query))


WAITING = {
    "item": lambda x: x.sum().item(),
    "if": lambda x: bool((x > 0).any()),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": lambda x: x.unique(),
    "repeats": lambda x: x.repeat_interleave(x.long()),
    "to the host": lambda x: x.cpu(),
    "list": lambda x: x.tolist(),
    "nms": lambda x: __import__("torchvision").ops.nms(x[:, None].expand(-1, 4), x, 0.5),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_for_the_device_is_seen(name):
    with pytest.raises((NotImplementedError, RuntimeError)), Counted():
        WAITING[name](torch.empty(3, device="meta"))


@pytest.mark.parametrize("bring", [lambda x: x.new_tensor([1.0, 2.0, 3.0]), lambda x: torch.ones(3).to(x.device),
                                   lambda x: x.copy_(torch.ones(3))])  # fmt: skip
def test_what_comes_from_the_host_is_seen(bring):
    with Counted() as counted:
        bring(torch.empty(3, device="meta"))
    assert counted.from_host.total() == 1
