"""How an index is made up is said in one string, and what cannot be is refused."""

import pytest

from stvr.library.composition import Composition


def test_what_is_said_is_what_is_meant():
    assert Composition.of("tubes,whiten,nnn,flat") == Composition(("tubes",), True, True, "flat")
    assert Composition.of(" faiss, windows ") == Composition(("windows",), False, False, "faiss")
    assert Composition.of("tubes+windows,nnn") == Composition(("windows", "tubes"), False, True, "flat")


@pytest.mark.parametrize("text", ["windows,flat", "windows+grid+tubes,whiten,nnn,faiss", "grid,nnn,flat"])
def test_a_composition_is_written_as_it_is_read(text):
    assert str(Composition.of(text)) == text


@pytest.mark.parametrize("text", ["", "flat", "tubes,windows,flat", "tubes,flat,faiss", "tubes,tubes", "tubes+,flat",
                                  "tubes,pca,flat", "tubes+boxes,flat", "tubes,whiten,whiten"])  # fmt: skip
def test_what_nobody_can_make_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match="a composition is one of windows, grid, tubes") as error:
        Composition.of(text)
    assert "\n" not in str(error.value)
