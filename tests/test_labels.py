"""Labels as text and by name."""

from stvr.labels import actions_of, label_name, label_text


def test_a_label_is_its_actions_with_commas_between_them():
    assert label_text((12, 79)) == "12,79"
    assert actions_of("12,79") == ["12", "79"]
    assert actions_of("7") == ["7"]


def test_a_label_is_named_by_its_actions_and_one_without_a_name_keeps_its_id():
    assert label_name("1,3", {"1": "nod", "3": "wave"}) == "nod + wave"
    assert label_name("1,4", {"1": "nod", "3": "wave"}) == "nod + 4"
    assert label_name((1, 3), {1: "nod", 3: "wave"}) == "nod + wave"
    assert label_name("1", {}) == "1"
