"""The pipelines with a byte-level vocabulary and RoBERTa's special tokens, whose pad is not 0."""

import itertools

import numpy as np
import pytest

from keras_lm.data import denoising, masked_lm, seq2seq
from keras_lm.tokenizers import train_byte_bpe

TEXTS = [f"The {n} foxes jumped over {n} lazy dogs. Then they slept!" for n in range(40)]
START, PAD, END = 0, 1, 2
BART = ("</s>", "<s>")


@pytest.fixture(scope="module")
def tokenizer():
    return train_byte_bpe(texts=TEXTS, vocab_size=320, kind="roberta")


def plain(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def original(inputs, labels, weights):
    token_ids = inputs["token_ids"].copy()
    row, place = np.nonzero(weights)
    token_ids[row, inputs["masked_positions"][row, place]] = labels[row, place]
    return token_ids


@pytest.mark.parametrize("masking", ["token", "whole_word", "span"])
def test_full_sentences_have_one_separator_between_documents(masking, tokenizer):
    data = masked_lm(
        None,
        tokenizer,
        texts=TEXTS,
        sequence_length=48,
        batch_size=1,
        shuffle=False,
        masking=masking,
    )
    rows = []
    for inputs, labels, weights in data.as_numpy_iterator():
        (row,) = original(inputs, labels, weights)
        assert row[0] == START
        real = inputs["padding_mask"][0]
        np.testing.assert_array_equal(row == PAD, ~real)
        assert row[real][-1] == END
        special = np.isin(row, tokenizer.special_ids)
        np.testing.assert_array_equal(inputs["token_ids"][0][special], row[special])
        assert weights.sum() == round(0.15 * (~special).sum()) or masking == "whole_word"
        rows.extend(row[real][1:-1].tolist())
    # What the rows hold: the documents, with one separator between two of them; at the edge of a
    # row it is the row's own.
    flat = [token for text in TEXTS for token in plain(tokenizer, text)]
    assert [token for token in rows if token != END] == flat
    assert not any(a == b == END for a, b in itertools.pairwise(rows))


def test_lines_of_a_document_do_not_grow_together(tokenizer):
    rows = {"texts": ["Five foxes\njumped\nover"], "sequence_length": 24, "batch_size": 1}
    ((inputs, labels, weights),) = masked_lm(None, tokenizer, **rows).as_numpy_iterator()
    assert tokenizer.decode(original(inputs, labels, weights)[0]) == "Five foxes jumped over"
    ((_, labels, _),) = denoising(None, tokenizer, **rows).as_numpy_iterator()
    assert tokenizer.decode(labels[0]) == "Five foxes jumped over"


@pytest.mark.parametrize("masking", ["whole_word", "span"])
def test_words_begin_at_a_space(masking, tokenizer):
    data = masked_lm(
        None, tokenizer, texts=TEXTS, sequence_length=64, batch_size=4, masking=masking
    )
    masked = 0
    for inputs, labels, weights in data.endless().take(10).as_numpy_iterator():
        for row, places, weight in zip(
            original(inputs, labels, weights), inputs["masked_positions"], weights, strict=True
        ):
            ordinary = ~np.isin(row, tokenizer.special_ids)
            begins = np.array([tokenizer.decode([token])[:1] == " " for token in row])
            begins |= ~ordinary | np.concatenate([[True], ~ordinary[:-1]])
            word = np.cumsum(begins)
            chosen = np.zeros(len(row), bool)
            chosen[places[weight > 0]] = True
            for number in set(word[chosen]):
                assert chosen[(word == number) & ordinary].all()
            masked += chosen.sum()
    assert masked > 100


def test_pairs_are_packed_as_the_tokenizer_packs_them(tokenizer):
    data = seq2seq(None, tokenizer, pairs=[("foxes", "dogs")], tokens_per_batch=20,
                   drop_remainder=False)  # fmt: skip
    ((inputs, labels, _),) = data.as_numpy_iterator()
    assert inputs["token_ids"][0].tolist() == tokenizer.encode("foxes")
    target = plain(tokenizer, "dogs")
    assert inputs["decoder_token_ids"][0].tolist() == [END, *target]
    assert labels[0].tolist() == [*target, END]


def test_rows_can_be_barts_own(tokenizer):
    data = denoising(
        None,
        tokenizer,
        texts=TEXTS,
        sequence_length=64,
        batch_size=4,
        across_documents=False,
        decoder_start=BART,
        shuffle=False,
    )
    inputs, labels, weights = next(data.as_numpy_iterator())
    mask_id = tokenizer.mask_id
    for row, real, start, label, weight, text in zip(
        inputs["token_ids"],
        inputs["padding_mask"],
        inputs["decoder_token_ids"],
        labels,
        weights,
        TEXTS,
        strict=False,
    ):
        whole = tokenizer.encode(text)  # <s> text </s>
        assert label[weight > 0].tolist() == whole
        assert start[weight > 0].tolist() == [END, *whole[:-1]]
        assert (row[0], row[real][-1]) == (START, END)
        assert set(row[real]) <= {*whole, mask_id}
        assert (row[~real] == PAD).all()
        assert mask_id in row
