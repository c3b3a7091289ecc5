"""Every exported task answers 200 rows of held-out text as Python does, with TensorFlow alone.

The text is real: sentences of Python's reference, and articles in 20 languages. No tokenizer was
trained on it. Weights are drawn at random, which makes more different answers than training would:
what is compared is the way from a string to its answer, not how good the answer is.
"""

import pathlib
import re

import keras
import numpy as np
import pytest
from ask_in_a_process import ask_in_another_process

from keras_lm import (
    BERT,
    ELECTRA,
    GPT,
    QuestionAnswering,
    RoBERTa,
    SearchIndex,
    Summarizer,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
    Transformer,
    Translator,
    export,
)
from keras_lm.data import split_by_hash
from keras_lm.models.limits import CUT
from keras_lm.tokenizers import train_byte_bpe, train_wordpiece

pytestmark = pytest.mark.slow
ROWS, ARTICLES = 200, 60  # of them in other languages
# What a server has not. Keras comes with TensorFlow, and is not needed either.
BLOCKED = ["keras_lm", "keras", "tf_keras", "keras_nlp", "tensorflow_text", "tokenizers", "torch"]
SIZES = {
    "hidden_size": 32,
    "num_layers": 2,
    "num_attention_heads": 2,
    "num_hidden_units": 64,
    "max_length": 64,
    "initializer_range": 0.3,
}
NEW_TOKENS, BEAMS, TOP_K = 8, 3, 5
PLAIN = {"extra_files": False}


@pytest.fixture(scope="module")
def text(topics):
    """Texts to train tokenizers on, and 200 that share no eight words with them."""
    reference = re.split(r"(?<=[.!?:])\s+|\n", topics.read_text("utf-8"))
    sentences = sorted({part for part in map(str.strip, reference) if len(part.split()) > 4})
    file = pathlib.Path(__file__).with_name("human_rights.txt")
    articles = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
    of_reference, _ = split_by_hash(sentences, {"train": 0.9, "test": 0.1})
    of_articles, _ = split_by_hash(articles, {"train": 0.35, "test": 0.65})
    held_out = of_reference["test"][: ROWS - ARTICLES] + of_articles["test"][:ARTICLES]
    assert len(set(held_out)) == ROWS
    return {"train": of_reference["train"] + of_articles["train"], "held_out": held_out}


@pytest.fixture(scope="module")
def rows(text):
    return text["held_out"]


@pytest.fixture(scope="module")
def models(text):
    """By name: a model of every kind that can be exported, and how."""
    pytest.importorskip("faiss", reason="needs the extra search")
    keras.utils.set_random_seed(0)  # whatever ran before
    pieces = train_wordpiece(texts=text["train"], vocab_size=1_000)
    byte_pairs = train_byte_bpe(texts=text["train"], vocab_size=1_000)
    robertas = train_byte_bpe(texts=text["train"], vocab_size=1_000, kind="roberta")
    bert = BERT(pieces.vocab_size, **SIZES, tokenizer=pieces)
    gpt = GPT(byte_pairs.vocab_size, **SIZES, tokenizer=byte_pairs)
    roberta = RoBERTa(robertas.vocab_size, **SIZES, tokenizer=robertas)
    transformer = Transformer(byte_pairs.vocab_size, **SIZES, tokenizer=byte_pairs)
    for model in (bert, gpt, roberta, transformer):
        model.build()
    embedder = TextEmbedder(roberta)
    embedder.build()
    found = {
        "fill_mask": bert,
        "replaced": ELECTRA(pieces.vocab_size, **SIZES, tokenizer=pieces),
        "gpt": gpt,
        "transformer": transformer,
        "one_label": TextClassifier(bert, ["Übel", "gut", "漢字"]),
        "many_labels": TextClassifier(roberta, ["a", "b", "c", "d"], problem="multi_label"),
        "regression": TextClassifier(bert, ["stars", "price"], problem="regression"),
        "pairs": TextClassifier(bert, ["entailed", "neutral", "contradicted"]),
        "roberta_pairs": TextClassifier(roberta, ["same", "other"]),
        "last_token": TextClassifier(gpt, ["a", "b", "c"]),
        "entities": TokenClassifier(bert, ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]),
        "tags": TokenClassifier(roberta, ["noun", "verb", "other"]),
        "answers": QuestionAnswering(bert, stride=20, max_windows=8, no_answer_threshold=0.01),
        "embedder": embedder,
        "search": SearchIndex(embedder, text["train"][:300], verbose=0),
        "translator": Translator(transformer, num_beams=BEAMS, max_new_tokens=NEW_TOKENS),
        "summarizer": Summarizer(
            transformer, num_beams=1, max_new_tokens=NEW_TOKENS, no_repeat_ngram_size=2
        ),
    }
    for model in found.values():
        if isinstance(model, keras.Model):
            model.build()
    some = text["train"][::50]
    centre(found["one_label"], some)
    for name in ("pairs", "roberta_pairs"):
        centre(found[name], list(zip(some, some[::-1], strict=True)))
    return found


def centre(model, texts):
    """Moves the last bias: weights at random alone find all texts to be of one class."""
    scores = model.predict(texts, verbose=0).scores
    model.classifier.bias.assign_sub(np.median(np.log(scores + 1e-30), axis=0))


@pytest.fixture(scope="module")
def requests(rows):
    """What each is asked for 200 rows."""
    texts = {"text": rows}
    masked = [" ".join(["[MASK]", *row.split()[1:4], "[MASK]", *row.split()[4:8]]) for row in rows]
    options = {
        "max_new_tokens": [2 + row % NEW_TOKENS for row in range(ROWS)],
        "min_new_tokens": [row % 2 for row in range(ROWS)],
        "temperature": [[0.0, 0.7, 1.0][row % 3] for row in range(ROWS)],
        "top_k": [[0, 20][row % 2] for row in range(ROWS)],
        "top_p": [[1.0, 0.9][row // 2 % 2] for row in range(ROWS)],
        "min_p": [[0.0, 0.05][row // 4 % 2] for row in range(ROWS)],
        "seed": list(range(ROWS)),
        "repetition_penalty": [[1.0, 1.2][row // 8 % 2] for row in range(ROWS)],
        "presence_penalty": [0.0] * ROWS,
        "frequency_penalty": [[0.0, 0.3][row // 3 % 2] for row in range(ROWS)],
    }
    pairs = {"text": rows, "text_pair": [*rows[7:], *rows[:7]]}
    beams = {k: options[k] for k in ("max_new_tokens", "min_new_tokens")}
    beams |= {k: options[k] for k in options if k.endswith("_penalty")}
    beams["length_penalty"] = [[0.0, 1.0, 2.0][row % 3] for row in range(ROWS)]
    contexts = [" ".join((rows * 2)[row + 1 : row + 1 + row % 4]) or rows[0] for row in range(ROWS)]
    starts = {"prompt": [row[:40] for row in rows]}
    return {
        ("fill_mask", "serving_default"): {"text": masked},
        ("replaced", "serving_default"): texts,
        ("gpt", "generate"): {**starts, **options},
        ("gpt", "score"): {"text": [row[:50] for row in rows]},
        ("gpt", "beam_search"): {**starts, **beams},
        ("transformer", "generate"): {**texts, **options},
        ("one_label", "serving_default"): texts,
        ("many_labels", "serving_default"): texts,
        ("regression", "serving_default"): texts,
        ("pairs", "serving_default"): pairs,
        ("roberta_pairs", "serving_default"): pairs,
        ("last_token", "serving_default"): texts,
        ("entities", "serving_default"): texts,
        ("tags", "serving_default"): texts,
        ("answers", "serving_default"): {"question": rows, "context": contexts},
        ("embedder", "serving_default"): texts,
        ("search", "serving_default"): texts,
        ("translator", "serving_default"): texts,
        ("summarizer", "serving_default"): texts,
    }


@pytest.fixture(scope="module")
def answered(models, requests, tmp_path_factory):
    """By model and signature the answers of a process in which there is TensorFlow alone."""
    directory = tmp_path_factory.mktemp("held_out")
    special = {
        "fill_mask": {"top_k": TOP_K},
        "search": {"top_k": TOP_K},
        "gpt": {"num_beams": BEAMS, "max_new_tokens": NEW_TOKENS},
        "pairs": {"pairs": True},
        "roberta_pairs": {"pairs": True},
    }
    for name, model in models.items():
        export(model, directory / name, **PLAIN, **special.get(name, {}))
    asked = [(*key, arguments) for key, arguments in requests.items()]
    found = ask_in_another_process(directory, asked, blocked=BLOCKED)
    assert found["unwanted"] == []
    return dict(zip(requests, found["answers"], strict=True))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def same_cuts(answer, cut):
    assert [status == CUT for status in answer["status"]] == list(cut)


@pytest.mark.parametrize("name", ["one_label", "last_token", "pairs", "roberta_pairs"])
def test_each_has_the_label_of_python(name, answered, models, requests):
    answer = answered[name, "serving_default"]
    texts = list(requests[name, "serving_default"].values())
    asked = texts[0] if len(texts) == 1 else list(zip(*texts, strict=True))
    found = models[name].predict(asked, verbose=0)
    assert answer["label"] == found.labels
    assert len(set(found.labels)) > 1
    assert np.std(found.scores, axis=0).min() > 0.01
    close(answer["scores"], found.scores)
    same_cuts(answer, found.cut)


def test_each_has_the_labels_of_python(answered, models, rows):
    answer = answered["many_labels", "serving_default"]
    found = models["many_labels"].predict(rows, verbose=0)
    labels = [
        tuple(row[:count]) for row, count in zip(answer["labels"], answer["count"], strict=True)
    ]
    assert labels == found.labels
    assert len(set(labels)) > 2
    close(answer["scores"], found.scores)
    same_cuts(answer, found.cut)


def test_each_has_the_numbers_of_python(answered, models, rows):
    answer = answered["regression", "serving_default"]
    found = models["regression"].predict(rows, verbose=0)
    close(answer["scores"], found.scores)
    assert np.std(answer["scores"]) > 0.1
    same_cuts(answer, found.cut)


@pytest.mark.parametrize("name", ["entities", "tags"])
def test_each_has_the_entities_of_python_with_their_places(name, answered, models, rows):
    answer = answered[name, "serving_default"]
    found = models[name].predict(rows, verbose=0)
    columns = ("entities", "types", "starts", "ends", "scores")
    for row, entities in enumerate(found.entities):
        own = list(zip(*(answer[column][row] for column in columns), strict=True))
        own = own[: answer["count"][row]]
        assert [entity[:4] for entity in own] == [entity[:4] for entity in entities]
        close([entity[4] for entity in own], [entity.score for entity in entities])
        assert all(rows[row][start:end] == word for word, _, start, end, _ in own)
    assert sum(answer["count"]) > ROWS
    same_cuts(answer, found.cut)


def test_each_question_has_the_answer_of_python(answered, models, requests):
    answer = answered["answers", "serving_default"]
    questions, contexts = requests["answers", "serving_default"].values()
    found = models["answers"].predict(list(zip(questions, contexts, strict=True)), verbose=0)
    own = list(zip(answer["answer"], answer["start"], answer["end"], strict=True))
    assert own == [one[:3] for one in found.answers]
    close(answer["score"], [one.score for one in found.answers])
    there = [text for text, *_ in own if text]
    assert len(there) > ROWS / 4
    assert all(contexts[row][s:e] == text for row, (text, s, e) in enumerate(own) if text)
    same_cuts(answer, found.cut)


def test_each_has_the_vector_of_python_and_finds_the_same_texts(answered, models, rows):
    answer = answered["embedder", "serving_default"]
    found = models["embedder"].predict(rows, verbose=0)
    close(answer["embedding"], found.vectors)
    same_cuts(answer, found.cut)
    answer = answered["search", "serving_default"]
    texts, scores, _ = models["search"].query(rows, top_k=TOP_K)
    assert answer["texts"] == texts
    close(answer["scores"], scores)


@pytest.mark.parametrize(
    ("name", "output"), [("translator", "translation"), ("summarizer", "summary")]
)
def test_each_becomes_the_text_of_python(name, output, answered, models, rows):
    answer = answered[name, "serving_default"]
    found = models[name].predict(rows, verbose=0)
    assert answer[output] == found.texts
    assert len(set(found.texts)) > ROWS / 2
    assert [status & CUT != 0 for status in answer["status"]] == found.cut.tolist()


def test_masks_are_filled_and_replaced_tokens_found_as_in_python(answered, models, requests, rows):
    answer = answered["fill_mask", "serving_default"]
    texts = requests["fill_mask", "serving_default"]["text"]
    for row, masks in enumerate(models["fill_mask"].fill_mask(texts, top_k=TOP_K)):
        assert answer["tokens"][row] == [[token for token, _ in mask] for mask in masks]
        close(answer["scores"][row], [[score for _, score in mask] for mask in masks])
    answer = answered["replaced", "serving_default"]
    read = [row for row in range(ROWS) if answer["status"][row] == 0]
    assert len(read) > ROWS / 2
    found = models["replaced"].find_replaced([rows[row] for row in read])
    for row, tokens in zip(read, found, strict=True):
        count = answer["count"][row]
        assert answer["tokens"][row][:count] == [token for token, _ in tokens]
        close(answer["scores"][row][:count], [score for _, score in tokens])


@pytest.mark.parametrize(("name", "output"), [("gpt", "text"), ("transformer", "target")])
def test_each_is_continued_as_in_python(name, output, answered, models, requests):
    answer = answered[name, "generate"]
    prompts, *_ = requests[name, "generate"].values()
    options = {k: v for k, v in requests[name, "generate"].items() if isinstance(v[0], int | float)}
    whole = [row for row in range(ROWS) if answer["status"][row] == 0]
    assert len(whole) > ROWS / 2
    found = models[name].generate(
        [prompts[row] for row in whole], **{k: [v[r] for r in whole] for k, v in options.items()}
    )
    assert [answer[output][row] for row in whole] == found


def test_beams_and_scores_of_a_gpt_are_those_of_python(answered, models, requests):
    gpt, answer = models["gpt"], answered["gpt", "beam_search"]
    options = dict(requests["gpt", "beam_search"])
    prompts = options.pop("prompt")
    whole = [row for row in range(ROWS) if answer["status"][row] == 0]
    assert len(whole) > ROWS / 2
    found = gpt.generate(
        [prompts[row] for row in whole],
        num_beams=BEAMS,
        num_return_sequences=BEAMS,
        **{k: [v[row] for row in whole] for k, v in options.items()},
    )
    assert [answer["text"][row] for row in whole] == found
    answer = answered["gpt", "score"]
    whole = [row for row in range(ROWS) if answer["status"][row] == 0]
    assert len(whole) > ROWS / 2
    scores = gpt.score([requests["gpt", "score"]["text"][row] for row in whole])
    for name, values in scores._asdict().items():
        np.testing.assert_allclose(np.array(answer[name])[whole], values, rtol=1e-5)
