"""Entities of tags, as seqeval 1.2.2 reads them."""

import pytest

from keras_lm.data.tags import TagScheme

BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def test_entities_begin_where_conlleval_lets_them_begin():
    tags = ["B-PER", "I-PER", "I-LOC", "I-LOC", "O", "I-PER", "B-PER", "B-PER", "O"]
    assert TagScheme(BIO).entities(tags) == [
        ("PER", 0, 1),
        ("LOC", 2, 3),
        ("PER", 5, 5),
        ("PER", 6, 6),
        ("PER", 7, 7),
    ]


def test_prefixes_that_end_entities_are_read_as_seqeval_does():
    text = "EL EL IL O EL SP IP SP BP EP IP SP EL EL IP EP IP IL EP IP EP SP EP O"
    tags = [tag if tag == "O" else f"{tag[0]}-{tag[1]}" for tag in text.split(" ")]
    wanted = "L00 L11 L22 L44 P55 P66 P77 P89 PAA PBB LCC LDD PEF PGG LHH PII PJK PLL PMM"
    places = "0123456789ABCDEFGHIJKLM"
    found = TagScheme(sorted(set(tags))).entities(tags)
    assert [f"{kind}{places[first]}{places[last]}" for kind, first, last in found] == wanted.split(
        " "
    )


def test_neighbours_of_one_plain_tag_belong_together_where_there_is_an_outside():
    found = TagScheme(["O", "PER", "LOC"]).entities(["PER", "PER", "LOC", "O", "PER"])
    assert found == [("PER", 0, 1), ("LOC", 2, 2), ("PER", 4, 4)]


def test_every_word_is_for_itself_where_there_is_none():
    scheme = TagScheme(["NOUN", "VERB", "B-side"])
    assert scheme.entities(["NOUN", "NOUN", "VERB"]) == [
        ("NOUN", 0, 0),
        ("NOUN", 1, 1),
        ("VERB", 2, 2),
    ]
    assert not scheme.for_entities
    assert TagScheme(BIO).for_entities


def test_what_is_no_tag_is_outside():
    assert TagScheme(BIO).entities(["B-PER", "", "I-PER"]) == [("PER", 0, 0), ("PER", 2, 2)]


@pytest.mark.parametrize(
    ("labels", "name", "inside"),
    [
        (BIO, "B-PER", "I-PER"),
        (BIO, "I-PER", "I-PER"),
        (BIO, "O", "O"),
        (["O", "B-PER"], "B-PER", None),
        (["O", "S-PER", "I-PER"], "S-PER", None),
        (["NOUN"], "NOUN", "NOUN"),
    ],
)
def test_the_later_parts_of_a_word_are_inside(labels, name, inside):
    assert TagScheme(labels).inside(name) == inside
