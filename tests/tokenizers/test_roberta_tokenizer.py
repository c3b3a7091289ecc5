"""ByteBPE with RoBERTa's and BART's special tokens, held to the `tokenizers` library."""

import json

import keras
import numpy as np
import pytest

from keras_lm import data
from keras_lm.tokenizers import ROBERTA_TOKENS, ByteBPE


def test_a_row_begins_and_ends_and_two_separators_stand_inside_a_pair(roberta):
    a, b = roberta.id("a"), roberta.id("b")
    assert roberta.encode("a") == [0, a, 2]
    assert roberta.encode("a", "b") == [0, a, 2, 2, b, 2]
    packed = roberta.pack(roberta.tokenize(["a"]), roberta.tokenize(["b"]), max_length=7)
    assert packed["token_ids"].numpy().tolist() == [[0, a, 2, 2, b, 2, 1]]
    assert set(packed) == {"token_ids", "padding_mask"}


def test_a_parsed_mask_takes_the_spaces_before_it_along(roberta):
    parsing = ByteBPE.from_config(roberta.get_config() | {"special_tokens": "parse"})
    text, mask = "a \u3000<mask> b", roberta.mask_id
    expected = [roberta.id("a"), mask, *roberta.encode(" b", add_special_tokens=False)]
    assert parsing.encode(text, add_special_tokens=False) == expected
    assert parsing.tokenize([text]).to_list() == [expected]
    assert mask not in roberta.encode(text)


def test_words_begin_with_spaces_and_special_tokens_go_on_with_none(roberta):
    continues = roberta.continues_word
    assert continues.dtype == bool
    assert continues.shape == (roberta.vocab_size,)
    assert not continues[list(roberta.special_ids)].any()
    assert not continues[[roberta.id(token) for token in ("Ġ", "Ġthe", "Ċ")]].any()
    assert continues[[roberta.id(token) for token in ("a", ".", "'", "Ã")]].all()


def test_whole_words_of_byte_pairs_are_masked_together(roberta):
    pipeline = data.masked_lm(
        None,
        roberta,
        texts=["unaffable statements of importance, zzyzx"] * 8,
        sequence_length=16,
        batch_size=4,
        mask_rate=0.3,
        masking="whole_word",
    )
    sizes = set()
    for inputs, labels, weights in pipeline.take(4):
        for row in range(4):
            real = weights[row].numpy() > 0
            places = inputs["masked_positions"][row].numpy()[real]
            ids = inputs["token_ids"][row].numpy()
            ids[places] = labels[row].numpy()[real]  # what stood there
            behind = np.isin(np.roll(ids, 1), roberta.special_ids)
            word = np.cumsum(~roberta.continues_word[ids] | behind)
            masked = np.isin(np.arange(16), places)
            for number in set(word[places]):
                assert masked[word == number].all()
                sizes.add(np.sum(word == number))
    assert max(sizes) > 1


def test_special_ids_are_the_roles_and_what_was_added(roberta):
    assert roberta.special_ids == (0, 1, 2, 3, roberta.mask_id)
    more = ByteBPE.from_config(roberta.get_config() | {"extra_special_tokens": ["Ġthe"]})
    the = more.id("Ġthe")
    assert more.special_ids == (0, 1, 2, 3, the, more.mask_id)
    assert more.decode([the, *more.encode("a")]) == "a"
    assert more.detokenize([[the, *more.encode("a")]]).numpy().tolist() == [b"a"]


def test_the_configuration_is_json_and_makes_the_same_tokenizer(roberta):
    changed = {"special_tokens": "parse", "mask_lstrip": False, "add_prefix_space": True}
    tokenizer = ByteBPE.from_config(roberta.get_config() | changed)
    config = json.loads(json.dumps(tokenizer.get_config()))
    assert ByteBPE.from_config(config).get_config() == tokenizer.get_config()
    kept = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(tokenizer))
    assert kept.encode("a <mask>", "b") == tokenizer.encode("a <mask>", "b")


def test_offsets_leave_out_the_space_of_a_word_where_they_are_trimmed(roberta):
    untrimmed = ByteBPE.from_config(roberta.get_config() | {"trim_offsets": False})
    assert roberta.host.encode("a the").offsets[2] == (2, 5)
    assert untrimmed.host.encode("a the").offsets[2] == (1, 5)


def test_what_begins_rows_without_what_ends_them_is_refused(roberta):
    config = roberta.get_config()
    with pytest.raises(
        ValueError, match=r"both or neither\. Received: cls_token='<s>', sep_token=N"
    ):
        ByteBPE(config["vocab"], config["merges"], **ROBERTA_TOKENS | {"sep_token": None})


def test_a_special_token_that_the_vocabulary_lacks_is_named(byte_bpe):
    config = byte_bpe.get_config()
    with pytest.raises(ValueError, match="600 tokens without <pad>, <unk>, <s>, </s>, <mask>"):
        ByteBPE(config["vocab"], config["merges"], **ROBERTA_TOKENS)
