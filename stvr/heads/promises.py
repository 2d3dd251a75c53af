"""What a head gives is held to what `stvr.heads.head` promises, because anybody may write one."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from stvr.menus import PartFault
from stvr.structures import Detections

FOR_THE_USER = (ValueError, OSError, PartFault, torch.OutOfMemoryError)
MOST_BOXES = 5_000  # of a clip: linking compares each with each of the next clip
OUTSIDE = 0.01  # of the picture, by rounding
OF_THE_LOOP = {"total", "gradient_norm"}


@contextmanager
def faults_of(head: nn.Module, method: str) -> Iterator[None]:
    """PartFault, in one line with its place, for an exception in a head that is not meant for the user."""
    try:
        yield
    except FOR_THE_USER:
        raise
    except Exception as error:
        if type(error) is LookupError:
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = str(error).strip().split("\n")[0]
        raise PartFault(f"the head {type(head).__name__} failed in {method}: {type(error).__name__}: {said} "
                        f"({Path(last.filename).name}, line {last.lineno}). Mend the head.") from error


def checked_answers(head: nn.Module, look: Any, found: Sequence[Detections]) -> Sequence[Detections]:
    """What `ask` gave, if it is as promised; else PartFault says what was wanted and what came."""
    if not isinstance(found, Sequence) or not all(isinstance(each, Detections) for each in found):
        _broken(head, "ask()", "a list of Detections", f"{type(found).__name__}")
    if not hasattr(look, "__len__"):
        _broken(head, "stream()", "a look whose len() is the number of its clips", type(look).__name__)
    if len(found) != len(look):
        _broken(head, "ask()", f"a Detections for each of the {len(look)} clips of the look", f"{len(found)}")
    for clip in found:
        _check_shapes(head, clip)
    if found:
        boxes, scores = torch.cat([each.boxes for each in found]), torch.cat([each.scores for each in found])
        _check_values(head, boxes, scores)
    return found


def checked_probabilities(head: nn.Module, probabilities: Tensor, count: int) -> Tensor:
    """What `answers` gave of so many examples, if it is as promised; else PartFault says what was wanted and came."""
    if not isinstance(probabilities, Tensor) or probabilities.ndim != 2 or len(probabilities) != count:
        came = tuple(probabilities.shape) if isinstance(probabilities, Tensor) else type(probabilities).__name__
        _broken(head, "answers()", f"probabilities ({count}, classes)", f"{came}")
    if not bool(probabilities.isfinite().all()):
        _broken(head, "answers()", "finite probabilities", "NaN or an infinity")
    return probabilities


def checked_losses(head: nn.Module, losses: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """What `losses` gave, if it is as promised; else PartFault says what was wanted and what came."""
    if not isinstance(losses, Mapping) or not losses:
        came = "none" if isinstance(losses, Mapping) else type(losses).__name__
        _broken(head, "losses()", "a dict of named losses", came)
    for name, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.ndim:
            came = f"the shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            _broken(head, "losses()", "a tensor without dimensions for each name", f"{came} for {name!r}")
    if taken := OF_THE_LOOP & losses.keys():
        _broken(head, "losses()", f"names other than {' and '.join(sorted(OF_THE_LOOP))}", ", ".join(sorted(taken)))
    if torch.is_grad_enabled() and not any(loss.requires_grad for loss in losses.values()):
        _broken(head, "losses()", "losses that have a gradient", "none that has")
    return losses


def _check_shapes(head: nn.Module, clip: Detections) -> None:
    if not all(isinstance(each, Tensor) for each in (clip.boxes, clip.scores, clip.labels)):
        _broken(head, "ask()", "tensors in each Detections", "something else")
    came = tuple(clip.boxes.shape), tuple(clip.scores.shape), tuple(clip.labels.shape)
    count = clip.boxes.shape[0] if clip.boxes.ndim else 0
    if came != ((count, 4), (count,), (count,)):
        _broken(head, "ask()", "boxes (N, 4), scores (N,) and labels (N,)", ", ".join(map(str, came)))
    if count > MOST_BOXES:
        _broken(head, "ask()", f"at most {MOST_BOXES:,} boxes a clip, the best", f"{count:,}")


def _check_values(head: nn.Module, boxes: Tensor, scores: Tensor) -> None:
    if not bool(scores.isfinite().all()):
        _broken(head, "ask()", "finite scores", "NaN or an infinity")
    inside = ((boxes >= -OUTSIDE) & (boxes <= 1 + OUTSIDE)).all(-1)  # False for NaN
    sound = inside & (boxes[:, :2] <= boxes[:, 2:]).all(-1)
    if not bool(sound.all()):
        _broken(head, "ask()", "boxes x1, y1, x2, y2 in [0, 1], x1 <= x2 and y1 <= y2",
                ", ".join(f"{edge:.4g}" for edge in boxes[~sound][0].tolist()))


def _broken(head: nn.Module, method: str, wanted: str, came: str) -> NoReturn:
    raise PartFault(f"the head {type(head).__name__} breaks its promise in {method}: wanted {wanted}, got {came}. "
                    "Mend the head.")
