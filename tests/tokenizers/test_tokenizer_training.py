import gzip
import itertools
import json
import subprocess
import sys

import pytest

from keras_lm.tokenizers import train_byte_bpe, train_wordpiece

TRAINERS = pytest.mark.parametrize("train", [train_wordpiece, train_byte_bpe])
TEXTS = ["low lower lowest", "new newer newest", "wide wider widest"] * 3


@TRAINERS
def test_training_learns_as_many_tokens_as_it_was_told(train, topics):
    tokenizer = train(topics, 700)
    assert tokenizer.vocab_size == len(tokenizer.tokens) == 700
    ids = tokenizer.encode_batch(topics.read_text("utf-8").split("\n")[:2000])
    assert max(map(max, filter(None, ids))) < 700
    assert tokenizer.unk_id is None or not any(tokenizer.unk_id in row for row in ids)


@TRAINERS
def test_files_and_texts_give_the_same_vocabulary(train, tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS[:4]) + "\n")
    (tmp_path / "b.gz").write_bytes(gzip.compress("\n".join(TEXTS[4:]).encode()))
    by_files = train([tmp_path / "a.txt", tmp_path / "*.gz"], 300)
    assert by_files.tokens == train(texts=iter(TEXTS), vocab_size=300).tokens


@pytest.mark.slow
def test_training_again_in_another_process_gives_the_same_vocabularies(topics):
    program = (
        "import json, sys; from keras_lm.tokenizers import train_wordpiece, train_byte_bpe; "
        "print(json.dumps([train(sys.argv[1], 500).tokens "
        "for train in (train_wordpiece, train_byte_bpe)]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(topics)], check=True, capture_output=True, text=True
    )
    here = [train(topics, 500).tokens for train in (train_wordpiece, train_byte_bpe)]
    assert json.loads(run.stdout.splitlines()[-1]) == here


def test_wordpiece_begins_with_the_special_tokens_and_the_characters():
    tokens = train_wordpiece(texts=TEXTS, vocab_size=60).tokens
    assert tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokens[5:14] == list("deilnorst")
    assert "low" in tokens


def test_the_order_of_lines_does_not_matter_for_wordpiece(topics):
    lines = topics.read_text("utf-8").split("\n")[:3000]
    tokens = train_wordpiece(texts=lines, vocab_size=400).tokens
    assert train_wordpiece(texts=lines[::-1], vocab_size=400).tokens == tokens


def test_a_cased_vocabulary_keeps_capitals():
    assert "L" in train_wordpiece(texts=["Low LOW"], vocab_size=30, lowercase=False).tokens
    assert "L" not in train_wordpiece(texts=["Low LOW"], vocab_size=30).tokens


def test_rare_pairs_are_not_joined():
    texts = ["zebra"] * 3 + ["apple"] * 5
    tokens = train_wordpiece(texts=texts, vocab_size=100, min_frequency=4).tokens
    assert "apple" in tokens
    assert "zebra" not in tokens


def test_the_end_token_of_byte_bpe_comes_last():
    tokenizer = train_byte_bpe(texts=TEXTS, vocab_size=300)
    assert tokenizer.end_id == tokenizer.pad_id == tokenizer.vocab_size - 1


def test_robertas_special_tokens_stand_where_robertas_vocabulary_has_them():
    tokenizer = train_byte_bpe(texts=TEXTS, vocab_size=280, kind="roberta")
    assert tokenizer.tokens[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert tokenizer.tokens[-1] == "<mask>"
    assert len(tokenizer.tokens) == 280
    ids = tokenizer.cls_id, tokenizer.pad_id, tokenizer.sep_id, tokenizer.unk_id, tokenizer.mask_id
    assert ids == (0, 1, 2, 3, 279)
    assert tokenizer.end_id == tokenizer.sep_id
    plain = train_byte_bpe(texts=TEXTS, vocab_size=276)
    assert tokenizer.merges == plain.merges
    with pytest.raises(ValueError, match="at least 261"):
        train_byte_bpe(texts=TEXTS, vocab_size=260, kind="roberta")


def test_a_prefix_space_makes_the_first_word_like_the_others():
    tokenizer = train_byte_bpe(texts=["low"] * 9, vocab_size=270, add_prefix_space=True)
    assert tokenizer.tokenize(["low", " low"]).to_list() == [[tokenizer.id("Ġlow")]] * 2


def test_another_kind_of_byte_bpe_is_refused():
    with pytest.raises(ValueError, match=r"one of gpt2, roberta\. Received: kind='bart'"):
        train_byte_bpe(texts=TEXTS, vocab_size=300, kind="bart")


def test_a_wordpiece_for_causal_models_ends_with_its_separator():
    tokenizer = train_wordpiece(texts=TEXTS, vocab_size=60, end_token="[SEP]")
    assert tokenizer.end_id == tokenizer.sep_id
    assert train_wordpiece(texts=TEXTS, vocab_size=60).end_id is None


@TRAINERS
@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_an_empty_corpus_is_refused(train, texts):
    with pytest.raises(ValueError, match="to train on"):
        train(texts=texts, vocab_size=300)


@TRAINERS
def test_a_vocabulary_without_room_for_the_characters_is_refused(train):
    with pytest.raises(ValueError, match=r"at least \d+.*Received: vocab_size=7"):
        train(texts=TEXTS, vocab_size=7)


@TRAINERS
def test_files_and_texts_together_or_neither_are_refused(train, topics):
    with pytest.raises(TypeError, match="Received: both"):
        train(topics, 300, texts=TEXTS)
    with pytest.raises(TypeError, match="Received: neither"):
        train(vocab_size=300)
    with pytest.raises(TypeError, match="iterable of strings"):
        train(vocab_size=300, texts="one text")


@TRAINERS
def test_a_file_that_is_missing_or_no_text_is_named(train, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.txt"):
        train(tmp_path / "missing.txt", 300)
    (tmp_path / "bad.txt").write_bytes(b"a\n\xe9\n")
    with pytest.raises(ValueError, match=r"bad\.txt.*byte 2 is 0xe9"):
        train(tmp_path / "bad.txt", 300)


def test_a_chinese_vocabulary_has_the_characters_of_its_text():
    texts = [chr(0x4E00 + i) * 3 for i in range(2_500)]
    tokenizer = train_wordpiece(texts=texts, vocab_size=6_000)
    assert tokenizer.unk_id not in itertools.chain(*tokenizer.encode_batch(texts))
