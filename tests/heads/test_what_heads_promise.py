"""A head that breaks its promise is named, with what was wanted and what came; nothing is counted as right."""

import re

import pytest
import torch

from stvr.heads import Head, Localizer
from stvr.heads.negatives import ask_with_negatives
from stvr.heads.promises import MOST_BOXES, faults_of
from stvr.menus import Menu, PartFault
from stvr.structures import LABEL_SAME, Detections, Query
from stvr.training.one_step import losses_of

BOX, NAN = [0.1, 0.2, 0.5, 0.6], float("nan")


def clip(boxes=(BOX,), scores=(0.9,), labels=(LABEL_SAME,)) -> Detections:
    return Detections(torch.tensor(boxes), torch.tensor(scores), torch.tensor(labels))


class Answering(Localizer):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def ask(self, look, query):
        return self.found() if callable(self.found) else self.found


def ask(found):
    return ask_with_negatives(Answering(found), torch.zeros(2, 3), Query((), None))


@pytest.mark.parametrize(("found", "told"), [
    (None, "wanted a list of Detections, got NoneType"),
    ([(BOX, 0.9)] * 2, "wanted a list of Detections, got list"),
    ([clip()], "wanted a Detections for each of the 2 clips of the look, got 1"),
    ([clip()] * 4, "wanted a Detections for each of the 2 clips of the look, got 4"),
    ([clip(scores=[NAN]), clip()], "wanted finite scores, got NaN"),
    ([clip(scores=[float("inf")]), clip()], "wanted finite scores"),
    ([clip([[0.1, NAN, 0.5, 0.6]]), clip()], "got 0.1, nan, 0.5, 0.6"),
    ([clip([[0.5, 0.2, 0.1, 0.6]]), clip()], "got 0.5, 0.2, 0.1, 0.6"),
    ([clip([[10.0, 20.0, 50.0, 60.0]]), clip()], "got 10, 20, 50, 60"),
    ([clip([BOX[:3]]), clip()], re.escape("got (1, 3), (1,), (1,)")),
    ([clip([BOX, BOX]), clip()], re.escape("got (2, 4), (1,), (1,)")),
    ([Detections([BOX], [0.9], [1])] * 2, "wanted tensors in each Detections"),
    ([clip([BOX] * (MOST_BOXES + 1), [0.9] * (MOST_BOXES + 1), [1] * (MOST_BOXES + 1)), clip()], "got 5,001"),
])  # fmt: skip
def test_answers_that_are_not_as_promised_are_refused(found, told):
    with pytest.raises(PartFault, match=f"^the head Answering breaks its promise.*{told}") as raised:
        ask(found)
    assert "\n" not in str(raised.value)


def test_answers_as_promised_are_taken_as_they_are():
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    found = [clip([[-0.004, 0.0, 1.004, 1.0], BOX], [3.5, -2.0], [0, LABEL_SAME]), nothing]
    assert ask(found) == found


def test_an_exception_in_a_head_is_told_with_its_place():
    with pytest.raises(PartFault, match=r"^the head Answering failed in ask\(\): KeyError: .x. \(test_what"):
        ask(lambda: {}["x"])


@pytest.mark.parametrize("error", [ValueError("no box."), OSError("gone"), LookupError("no such endpoint.")])
def test_what_a_head_says_to_the_user_is_left_as_it_is(error):
    with pytest.raises(type(error), match=str(error)), faults_of(Head(), "ask()"):
        raise error


class Losing(Head):
    def __init__(self, losses):
        super().__init__()
        self.given, self.weight = losses, torch.nn.Parameter(torch.ones(()))

    def forward(self, batch):
        return self.weight * 2

    def losses(self, outputs, batch):
        return self.given(outputs)


@pytest.mark.parametrize(("losses", "told"), [
    (lambda out: {}, "wanted a dict of named losses, got none"),
    (lambda out: out, "wanted a dict of named losses, got Tensor"),
    (lambda out: {"a": 1.0}, "got float for 'a'"),
    (lambda out: {"a": out.expand(3)}, re.escape("got the shape (3,) for 'a'")),
    (lambda out: {"a": out.detach()}, "wanted losses that have a gradient"),
    (lambda out: {"a": out, "total": out}, "wanted names other than gradient_norm and total, got total"),
])  # fmt: skip
def test_losses_that_are_not_as_promised_are_refused(losses, told):
    with pytest.raises(PartFault, match=f"^the head Losing breaks its promise in losses.*{told}"):
        losses_of(Losing(losses), None)


def test_an_exception_in_training_is_told_with_its_place():
    with pytest.raises(PartFault, match=r"the head Losing failed in losses\(\): IndexError: .*test_what"):
        losses_of(Losing(lambda out: [][0]), None)


def test_what_is_no_entry_of_a_menu_is_named(monkeypatch):
    class Point:
        value = "mine:MineHead"

        def load(self):
            return Losing

    menu = Menu("head", "stvr.nothing", {}, needs=("options", "build"))
    monkeypatch.setitem(vars(menu), "_others", {"mine": Point()})
    with pytest.raises(LookupError, match=r"'mine' comes from mine:MineHead, which is no entry.*lacks options, build"):
        menu["mine"]
