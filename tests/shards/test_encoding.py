import dataclasses

import numpy as np
import pytest

from keras_lm.shards.encoding import encode


def ids(records, dtype="<u2"):
    return [np.frombuffer(record, dtype).tolist() for record in records]


def test_a_record_is_a_text_and_an_empty_one_ends_a_document(numbers):
    encoded = encode([["w1 w2", "", "w3"], ["  "], ["w2"]], numbers)
    assert ids(encoded.records) == [[1, 2], [3], [], [2], []]
    statistics = dataclasses.asdict(encoded.statistics)
    assert {name: n for name, n in statistics.items() if n} == {
        "documents": 2,
        "texts": 3,
        "tokens": 4,
        "characters": 13,
    }
    assert dict(zip(encoded.ids, encoded.counts, strict=True)) == {1: 1, 2: 2, 3: 1}


def test_a_document_of_causal_lm_is_one_text_with_its_line_ends(numbers):
    causal = dataclasses.replace(numbers, objective="causal_lm")
    assert ids(encode([["w1", "", "w3"]], causal).records) == [[1, 3], []]
    assert encode([["w1", "", "w3"]], causal).statistics.characters == 6


def test_large_vocabularies_take_four_bytes(numbers):
    large = dataclasses.replace(numbers, vocab_size=2**16 + 1)
    assert ids(encode([["w1 w999"]], large).records, "<i4") == [[1, 999], []]


def test_more_documents_than_are_read_at_once_keep_their_order(numbers):
    documents = [[f"w{i % 1000}", "w1"] for i in range(1100)]
    records = ids(encode(documents, numbers).records)
    assert records == [x for i in range(1100) for x in ([i % 1000], [1], [])]


@pytest.mark.parametrize("mask_personal", [False, True])
def test_personal_data_are_masked_before_the_text_is_tokenized(numbers, mask_personal):
    masking = dataclasses.replace(numbers, mask_personal=mask_personal)
    encoded = encode([["w5 a@b.de w6"]], masking)
    assert ids(encoded.records)[0] == [5, 0, 6]  # unknown either way
    assert encoded.statistics.emails == int(mask_personal)
