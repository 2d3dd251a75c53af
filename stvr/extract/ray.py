"""Spread videos over a cluster: one actor a GPU, or several that share the CPUs.

An actor reads its videos and writes its part of the store itself, so neither frames nor features travel. All nodes must
see the files and the store under the same names: on a shared file system, or in a bucket.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from stvr.extract.extractor import Extractor, Recipe
from stvr.extract.maps import runs_on_gpu
from stvr.extract.pace import Progress
from stvr.extract.todo import Outcome, Todo
from stvr.video.source import Source

LOCAL_MEMORY = 256 << 20  # of ray's object store on this machine: nothing large goes through it
MAX_DEATHS = 5  # of actors in a row on one video, without a single batch in between


def spread(recipe: Recipe, todo: Todo, num_workers: int) -> Generator[tuple[str, Progress | Outcome], None, None]:
    """Like `stvr.extract.workers.spread`, on the cluster that RAY_ADDRESS names, or else on this machine."""
    ray, started_here = started()
    actors, deaths = _Actors(ray, recipe, min(num_workers, len(todo))), Counter[str]()
    try:
        while todo or actors.at_work:
            while actors.idle and (video := todo.take()):
                actors.begin(video, todo.paths[video])
            for video, event in actors.events(todo.pause() if todo and actors.idle else 1.0):
                if event is None:  # the actor died, or its node
                    deaths[video] += 1
                    if deaths[video] < MAX_DEATHS:
                        todo.again(video)
                        continue
                    event = Outcome(failed=f"{todo.paths[video]} kills its actor: {deaths[video]} of them died while "
                                           "working on it.")
                elif isinstance(event, Progress):
                    deaths[video] = 0
                yield video, event
    finally:
        actors.end()
        if started_here:
            ray.shutdown()


def started(flag: str = "--engine ray") -> tuple[Any, bool]:
    """The module, connected to a cluster, and whether it was connected here. flag: what asks for it."""
    try:
        import ray
    except ImportError:
        raise LookupError(f"{flag} needs ray. Run `pip install 'stvr[ray]'`.") from None
    if started_here := not ray.is_initialized():
        small = {"object_store_memory": LOCAL_MEMORY, "include_dashboard": False}
        options: dict[str, Any] = {} if "RAY_ADDRESS" in os.environ else small
        ray.init(log_to_driver=False, **options)
    return ray, started_here


class _Actors:
    """The idle actors, and what the others are working on."""

    def __init__(self, ray: Any, recipe: Recipe, num_actors: int) -> None:
        if "://" not in recipe.store_path:  # actors work in folders of their own
            recipe = replace(recipe, store_path=str(Path(recipe.store_path).absolute()))
        try:
            self._ray, self._recipe = ray, ray.put(pickle.dumps(recipe))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"the backbone cannot be sent to actors ({error}). Use --engine local.") from error
        unit = "GPU" if runs_on_gpu(recipe.backbone) else "CPU"
        units = int(ray.cluster_resources().get(unit, 0))
        if units == 0:
            raise ValueError(f"the cluster has no {unit}. Give another --device, or --engine local.")
        num_actors = min(num_actors, units)  # any more would wait for ever
        share = {"num_gpus": 1, "num_cpus": 1} if unit == "GPU" else {"num_cpus": max(units // max(num_actors, 1), 1)}
        threads = max(torch.get_num_threads() // max(num_actors, 1), 1)
        self._make = lambda: ray.remote(**share)(_Actor).remote(self._recipe, threads)
        self.idle = [self._make() for _ in range(num_actors)]
        self.at_work: dict[Any, tuple[str, Any]] = {}  # by the stream of its events

    def begin(self, video: str, path: Source) -> None:
        actor, path = self.idle.pop(), path.absolute() if isinstance(path, Path) else path
        self.at_work[actor.extract.options(num_returns="streaming").remote(video, path)] = video, actor

    def events(self, timeout: float) -> Iterator[tuple[str, Progress | Outcome | None]]:
        """New events of the videos at work; None for a video whose actor died. A new actor takes its place."""
        if not self.at_work:
            time.sleep(timeout)
            return
        ready, _ = self._ray.wait(list(self.at_work), timeout=timeout, fetch_local=False)
        for stream in ready:
            video, actor = self.at_work[stream]
            try:
                event = self._ray.get(next(stream))
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except (self._ray.exceptions.RayActorError, self._ray.exceptions.ObjectLostError):
                self._ray.kill(actor)  # it may only be out of reach
                event, actor = None, self._make()
            if not isinstance(event, Progress):
                del self.at_work[stream]
                if event is not None and event.hung:
                    self._ray.kill(actor)
                    actor = self._make()
                self.idle.append(actor)
            yield video, event

    def end(self) -> None:
        for actor in [*self.idle, *(actor for _, actor in self.at_work.values())]:
            self._ray.kill(actor)


class _Actor:
    """One extractor on some machine, built for its first video, so that an error in building it is raised as it is."""

    def __init__(self, recipe: bytes, threads: int) -> None:
        self._recipe, self._threads = recipe, threads
        self._extractor: Extractor | None = None

    def extract(self, video: str, path: Source) -> Iterator[Progress | Outcome]:
        if self._extractor is None:
            torch.set_num_threads(self._threads)
            self._extractor = pickle.loads(self._recipe).build()
        yield from self._extractor(video, path)
