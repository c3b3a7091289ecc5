import pytest
from entity_baselines import Dictionary, RandomField, features

ROWS = [
    {"words": ["New", "York", "is", "large"], "tags": ["B-geo", "I-geo", "O", "O"]},
    {"words": ["York", "is", "old"], "tags": ["B-geo", "O", "O"]},
    {"words": ["may", "I", "ask", "May"], "tags": ["O", "O", "O", "B-person"]},
]


def test_the_longest_name_that_was_seen_is_found_in_any_case():
    dictionary = Dictionary(ROWS)
    assert dictionary.tags(["new", "york", "York", "x"]) == ["B-geo", "I-geo", "B-geo", "O"]


def test_a_word_that_is_no_name_as_often_as_it_is_one_is_none():
    assert Dictionary(ROWS).tags(["May"]) == ["O"]


def test_a_dictionary_of_nothing_finds_nothing():
    assert Dictionary([{"words": ["a"], "tags": ["O"]}]).tags(["a", "b"]) == ["O", "O"]


def test_a_word_is_seen_with_its_shape_and_its_neighbours():
    first, last = features(["Ada1", "@bob"])
    assert {"w=ada1", "shape=Aaa0", "short=Aa0", "<=ad", ">=a1", "digits"} <= set(first)
    assert {"+1:user", "+1:w=@bob", "-1:border", "0,+1=ada1 @bob"} <= set(first)
    assert {"-1:w=ada1", "+1:border", "user"} <= set(last)


def test_a_random_field_learns_names_by_what_stands_before_them(tmp_path):
    pytest.importorskip("pycrfsuite")
    names = ["Ada", "Bob", "Eva", "Tom", "Ida", "Max"]
    rows = [
        {"words": ["see", "mr", name, "now"], "tags": ["O", "O", "B-person", "O"]} for name in names
    ]
    field = RandomField(rows, tmp_path / "field", l1=0.0, l2=0.1)
    assert field.tags(["see", "mr", "Kim", "now"]) == ["O", "O", "B-person", "O"]
