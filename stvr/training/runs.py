"""The folder of a training run: how it was begun, the state to go on from, its log."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stvr import parallel
from stvr.files import write_json, write_text
from stvr.heads.checkpoint import read_tensors, write_tensors

STATE_FILE, LOG_FILE, CONFIG_FILE, BOARD_FOLDER = "state.safetensors", "log.jsonl", "config.json", "tensorboard"
COMPARED = ("spec", "pairs_digest", "num_pairs")  # of the provenance: what a resumed run must share, beside its options
# Options that change nothing of what is learned.
FREE = ("log_every", "readers", "save_every", "tensorboard", "deterministic")


class Run:
    """A run in `out`. made_by: JSON values that say what is made and from what; kept beside it and in it.

    Of several processes the first one writes; all of them read.
    """

    def __init__(self, out: Path, made_by: Mapping[str, Any], log_every: int, tensorboard: bool = False) -> None:
        self.out, self.made_by, self.log_every = out, json.loads(json.dumps(made_by)), log_every
        self.started, self.steps_since = time.monotonic(), 0
        self.writer = board_writer() if tensorboard else None
        self.board: Any = None

    def begin(self, resume: bool) -> None:
        """Makes the folder. Refuses to write over anything, or to go on with what was begun in another way."""
        if parallel.rank() == 0:
            there = [path for path in self.out.iterdir() if path.suffix != ".partial"] if self.out.is_dir() else []
            if there and not resume:
                raise ValueError(f"{self.out} is not empty. Go on with the run in it by --resume, or choose another "
                                 "--out.")
            if there:
                self.compare(self.out / CONFIG_FILE)
            self.out.mkdir(parents=True, exist_ok=True)
            write_json(self.out / CONFIG_FILE, self.made_by)
        parallel.wait()

    def compare(self, config: Path) -> None:
        """Refuses where the run was begun with other options, features or pairs."""
        try:
            made = json.loads(config.read_text())
            changed = [name for name in COMPARED if made[name] != self.made_by[name]]
            options = {name: value for name, value in self.made_by["train"].items() if name not in FREE}
            changed = [name for name in options if made["train"].get(name) != options[name]] + changed
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            raise ValueError(f"{self.out} is not empty and holds no run to resume. Choose another --out.") from None
        if changed:
            raise ValueError(f"{self.out} was begun with other {', '.join(changed)}. "
                             "Resume with the same options, or choose another --out.")

    def restore(self, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> int:
        """Weights and optimizer as they were saved; returns the steps done, 0 when nothing was saved yet."""
        done = 0
        if (self.out / STATE_FILE).exists():
            tensors, header = read_tensors(self.out / STATE_FILE)
            done = int(header["step"])
            for name, module in modules.items():
                state = {key.removeprefix(f"{name}/"): value for key, value in tensors.items()
                         if key.startswith(f"{name}/")}  # fmt: skip
                module.load_state_dict(state)
            optimizer.load_state_dict(unflatten_optimizer(tensors, optimizer))
        parallel.wait()
        if parallel.rank() == 0:
            self.cut_log(done)
            if self.writer:
                self.board = self.writer(str(self.out / BOARD_FOLDER), purge_step=done + 1)
        return done

    def save(self, step: int, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
        """The state comes last of all files: whatever stops before it, a resumed run writes the others again."""
        weights = {f"{name}/{key}": value for name, module in modules.items()
                   for key, value in module.state_dict().items()}  # fmt: skip
        write_tensors(self.out / STATE_FILE, {**weights, **flatten_optimizer(optimizer)}, {"step": step})

    def log(self, step: int, losses: Mapping[str, float], last: bool) -> None:
        """One line of JSON every `log_every` steps, and for the last."""
        self.steps_since += 1
        if parallel.rank() or (step % self.log_every and not last):
            return
        rate = self.steps_since / max(time.monotonic() - self.started, 1e-9)
        line = {"step": step, **{name: round(value, 6) for name, value in losses.items()}, "steps_a_second": rate}
        with (self.out / LOG_FILE).open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.board:
            for name, value in line.items():
                self.board.add_scalar(name, value, step)
            self.board.flush()

    def cut_log(self, step: int) -> None:
        """Takes out what was logged after the state that training goes on from."""
        path = self.out / LOG_FILE
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        write_text(path, "".join(f"{line}\n" for line in kept))


def board_writer() -> Any:
    """TensorBoard's SummaryWriter. ValueError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("the option tensorboard needs TensorBoard, which is not installed. "
                         "Run `pip install 'stvr[tensorboard]'`, or leave it out.") from None
    return SummaryWriter


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """optimizer/<parameter>/<name> -> tensor."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{index}/{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def unflatten_optimizer(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            state.setdefault(int(index), {})[name] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
