import dataclasses

import numpy as np
import pytest

from keras_lm.shards.encoding import BLOCK, encode

END = 999


def numbers_in(records, dtype="<u2"):
    """The ids and the lengths of each block."""
    return [
        (np.frombuffer(ids, dtype).tolist(), np.frombuffer(lengths, "<i4").tolist())
        for ids, lengths in zip(records[::2], records[1::2], strict=True)
    ]


def test_a_block_holds_texts_and_where_they_and_documents_end(numbers):
    encoded = encode([["w1 w2", "", "w3"], ["  "], ["w2"]], numbers)
    assert numbers_in(encoded.records) == [([1, 2, 3, END, 2, END], [2, 1, 0, 1, 0])]
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
    encoded = encode([["w1", "", "w3"]], causal)
    assert numbers_in(encoded.records) == [([1, 3, END], [2, 0])]
    assert encoded.statistics.characters == 6


def test_large_vocabularies_take_four_bytes(numbers):
    large = dataclasses.replace(numbers, vocab_size=2**16 + 1, end_id=2**16)
    encoded = encode([["w1 w998"]], large)
    assert numbers_in(encoded.records, "<i4") == [([1, 998, 2**16], [2, 0])]


def test_blocks_are_of_whole_documents_in_order_and_not_too_small(numbers):
    documents = [[f"w{i % 900} w1 w2", "w3 w4"] for i in range(6000)]
    blocks = numbers_in(encode(documents, numbers).records)
    expected = np.array([(i % 900, 1, 2, 3, 4, END) for i in range(6000)])
    found = np.concatenate([ids for ids, _ in blocks])
    np.testing.assert_array_equal(found, expected.reshape(-1))
    assert [x for _, lengths in blocks for x in lengths] == [3, 2, 0] * 6000
    assert len(blocks) == 3
    assert all(BLOCK <= len(ids) < BLOCK + 6 for ids, _ in blocks[:-1])
    assert all(ids[-1] == END for ids, _ in blocks)


@pytest.mark.parametrize("mask_personal", [False, True])
def test_personal_data_are_masked_before_the_text_is_tokenized(numbers, mask_personal):
    masking = dataclasses.replace(numbers, mask_personal=mask_personal)
    encoded = encode([["w5 a@b.de w6"]], masking)
    assert numbers_in(encoded.records)[0][0] == [5, 0, 6, END]  # unknown either way
    assert encoded.statistics.emails == int(mask_personal)
