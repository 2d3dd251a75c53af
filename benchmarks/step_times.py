"""What a step of training and a question cost, measured alone; and how many operations and parameters that is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from stvr.heads import HEADS, Localizer, build_head
from stvr.jobs.train import TrainOptions
from stvr.store import FeatureStore
from stvr.structures import Features, Query, Span, Tubelet
from stvr.tasks import TASKS
from stvr.training.one_step import HeadLosses, build_optimizer, take_step

BATCHES, WARMUP, STEPS = 4, 3, 8


def step_cost(store_path: Path, pairs: Path, options: TrainOptions, device: str) -> dict[str, Any]:
    """Median seconds of a step with its batch on the device already; operations of a look and a question; parameters.

    A fresh head is trained for a few steps; nothing is kept. gflop_look: of a clip, what does not depend on the query.
    gflop_ask: of a clip, one question.
    """
    store, entry = FeatureStore.open(store_path), HEADS[options.head.name]
    head_options = entry.fit(options.head, store.spec)
    store = store.only(entry.reads(head_options).chosen(store.spec))
    options = options.model_copy(update={"head": head_options})
    examples = TASKS[entry.task].examples(pairs, store, options, options.seed, (0, 1))
    torch.manual_seed(0)
    head = build_head(head_options, store.spec)
    if head.wants_features():
        head.calibrate(examples.sample())
    trainee = HeadLosses(head).to(device).train()
    optimizer, batches = build_optimizer(trainee, options), [examples.batch(k).to(device) for k in range(BATCHES)]
    seconds = []
    for step in range(WARMUP + STEPS):
        wait(device)
        begun = time.perf_counter()
        take_step(trainee, optimizer, batches[step % BATCHES], options, step, device)
        wait(device)
        seconds.append(time.perf_counter() - begun)
    return {"step_seconds": statistics.median(seconds[WARMUP:]), **operations(head, store, entry, head_options, device)}


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


@torch.no_grad()
def operations(head: Any, store: FeatureStore, entry: Any, options: Any, device: str) -> Mapping[str, float]:
    assert isinstance(head, Localizer)
    head.eval()
    video = store.videos()[0]
    span, reads = Span(video, 0, store.num_clips(video)), entry.reads(options)
    features = Features(store.read_features(span).maps)
    if reads.flow:
        features = replace(features, flow=store.read_flow(span).float())
    features = features.to(device)
    box = torch.tensor([[0.3, 0.3, 0.6, 0.8]], device=device)
    query = as_query(head.pool(features.part(slice(0, 1)), box), video)
    with FlopCounterMode(display=False) as looking:
        look = head.look(features)
    with FlopCounterMode(display=False) as asking:
        head.ask(look, query)
    count = len(span) * 1e9
    return {"parameters": sum(each.numel() for each in head.parameters()),
            "gflop_look": looking.get_total_flops() / count, "gflop_ask": asking.get_total_flops() / count}


def as_query(regions: Any, video: str) -> Any:
    return Query((Tubelet(Span(video, 0, 1), torch.tensor([[0.3, 0.3, 0.6, 0.8]])),), regions)
