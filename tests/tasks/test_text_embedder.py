"""Texts to vectors: pooling, what is learnt, files of vectors."""

import itertools

import keras
import numpy as np
import pytest
from task_toys import bert, gpt, rows, transformer, with_noise_at_padding
from text_toys import word_piece

from keras_lm import TextEmbedder, evaluate
from keras_lm.data import similarity
from keras_lm.tasks.similarity_losses import EmbeddingAccuracy
from keras_lm.tokenizers import train_byte_bpe

TEXTS = ["good film", "bad", "it is no good film . it is bad", "", "good", "a bad film"]


@pytest.fixture(scope="module")
def task():
    return TextEmbedder(bert(tokenizer=word_piece()))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_vectors_are_what_the_pooling_says():
    model, inputs = bert(), rows(4)
    model_states = TextEmbedder(model).hidden_states(inputs)
    hidden = np.asarray(model_states)
    real = inputs["padding_mask"]
    expected = {
        "mean": np.stack([h[m].mean(0) for h, m in zip(hidden, real, strict=True)]),
        "first": hidden[:, 0],
        "last": np.stack([h[m][-1] for h, m in zip(hidden, real, strict=True)]),
    }
    for pooling, vectors in expected.items():
        plain = TextEmbedder(model, pooling=pooling, normalize=False)
        np.testing.assert_allclose(plain(inputs), vectors, atol=1e-6)
        np.testing.assert_allclose(
            TextEmbedder(model, pooling=pooling)(inputs), unit(vectors), atol=1e-6
        )


@pytest.mark.parametrize("make", [bert, gpt, transformer])
def test_padding_does_not_leak_and_rows_of_texts_are_texts(make):
    task, inputs = TextEmbedder(make()), rows(6)
    found = np.asarray(task(inputs))
    np.testing.assert_allclose(task(with_noise_at_padding(inputs)), found, atol=1e-6)
    stacked = {name: value.reshape(3, 2, -1) for name, value in inputs.items()}
    np.testing.assert_allclose(task(stacked), found.reshape(3, 2, -1), atol=1e-6)
    assert found.dtype == np.float32


def test_predict_gives_the_vectors_of_strings(task):
    found = task.predict(TEXTS, batch_size=4, verbose=0)
    assert found.cut.tolist() == [False, False, True, False, False, False]
    for text, vector in zip(TEXTS, found.vectors, strict=True):
        ids = task.tokenizer.encode(text)
        if len(ids) <= task.max_length:
            np.testing.assert_allclose(vector, task(np.array([ids]))[0], atol=1e-6)
    one = task.predict("bad", verbose=0)
    np.testing.assert_allclose(one.vectors, found.vectors[1], atol=1e-6)
    assert one.cut is False
    cosines = task.similarity(["bad", "good"], TEXTS)
    np.testing.assert_allclose(cosines, found.vectors[[1, 4]] @ found.vectors.T, atol=1e-6)
    with pytest.raises(ValueError, match="not in pairs"):
        task.predict(("good", "bad"))


def test_a_shorter_length_cuts_earlier(task):
    short = TextEmbedder(bert(tokenizer=word_piece()), max_length=4)
    found = short.predict(["good film", "a bad film", "a bad"], verbose=0)
    assert found.cut.tolist() == [False, True, False]
    np.testing.assert_allclose(found.vectors[1], found.vectors[2], atol=1e-6)


def test_gpt_reads_with_its_last_token(topics):
    tokenizer = train_byte_bpe(topics, 300)
    task = TextEmbedder(gpt(vocab_size=300, tokenizer=tokenizer), pooling="last")
    found = task.predict(["as it", "is"], verbose=0).vectors
    ids = np.array([tokenizer.encode("as it")])
    np.testing.assert_allclose(found[0], unit(task.hidden_states(ids)[0, -1]), atol=1e-6)


# What is learnt


def vectors_of(number, texts, seed=0):
    return np.random.default_rng(seed).normal(size=(number, texts, 8)).astype("float32")


@pytest.mark.parametrize("texts", [2, 3])
def test_ranking_is_cross_entropy_of_cosines_among_the_batch(texts):
    task = TextEmbedder(bert())
    task.compile(temperature=0.1)
    vectors, groups = vectors_of(5, texts), np.array([0, 1, 0, 2, 3])
    units = unit(vectors)
    expected = []
    for i in range(5):
        others = [
            (j, s) for s in range(1, texts) for j in range(5) if j == i or groups[j] != groups[i]
        ]
        scores = np.array([units[i, 0] @ units[j, s] for j, s in others]) / 0.1
        own = scores[others.index((i, 1))]
        expected.append(np.log(np.exp(scores).sum()) - own)
    loss = float(task.compute_loss(None, groups, keras.ops.array(vectors)))
    assert loss == pytest.approx(np.mean(expected), rel=1e-5)
    weights = np.array([1, 0, 2, 0, 1.0], "float32")
    loss = float(task.compute_loss(None, groups, keras.ops.array(vectors), weights))
    assert loss == pytest.approx(np.average(expected, weights=weights), rel=1e-5)


def test_cosines_and_triplets_cost_what_the_papers_say():
    task, labels = TextEmbedder(bert()), np.array([0.2, 0.9, 0.5], "float32")
    vectors = vectors_of(3, 3)
    cosine = np.sum(unit(vectors[:, 0]) * unit(vectors[:, 1]), -1)
    task.compile(objective="cosine")
    loss = float(task.compute_loss(None, labels, keras.ops.array(vectors[:, :2])))
    assert loss == pytest.approx(np.mean((cosine - labels) ** 2), rel=1e-5)
    near, far = (np.linalg.norm(vectors[:, 0] - vectors[:, i], axis=-1) for i in (1, 2))
    task.compile(objective="triplet", margin=0.7)
    loss = float(task.compute_loss(None, labels, keras.ops.array(vectors)))
    assert loss == pytest.approx(np.maximum(near - far + 0.7, 0).mean(), rel=1e-5)


def test_accuracy_counts_rows_whose_own_text_is_nearest():
    vectors, groups = vectors_of(6, 2, seed=2), np.array([0, 0, 1, 2, 3, 4])
    scores = unit(vectors[:, 0]) @ unit(vectors[:, 1]).T
    right = [
        all(scores[i, i] > scores[i, j] for j in range(6) if groups[i] != groups[j])
        for i in range(6)
    ]
    metric = EmbeddingAccuracy()
    metric.update_state(groups, vectors)
    assert float(metric.result()) == pytest.approx(np.mean(right))
    triple = vectors_of(6, 3)
    metric = EmbeddingAccuracy()
    metric.update_state(groups, triple)
    near, far = (np.sum(unit(triple[:, 0]) * unit(triple[:, i]), -1) for i in (1, 2))
    assert float(metric.result()) == pytest.approx(np.mean(near > far))


WORDS = ["good", "bad", "film", "it"]


@pytest.mark.parametrize(
    "objective",
    ["ranking", *(pytest.param(x, marks=pytest.mark.slow) for x in ("cosine", "triplet"))],
)
def test_each_objective_teaches_which_texts_are_alike(objective):
    task = TextEmbedder(bert(tokenizer=word_piece()))
    data = []
    for one, other in itertools.permutations(WORDS, 2):
        row = {"text": f"a {one}", "text_pair": f"{one} is"}
        if objective == "cosine":
            data += [
                {**row, "score": 1},
                {"text": f"a {one}", "text_pair": f"{other} is", "score": 0},
            ]
        elif objective == "triplet":
            data.append({**row, "negative": f"{other} is"})
        elif row not in data:
            data.append(row)
    task.compile(learning_rate=1e-2, objective=objective, margin=0.5)
    pipeline = similarity(rows=data, tokenizer=task.tokenizer, objective=objective, batch_size=8)
    history = task.fit(pipeline, epochs=30, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    found = task.similarity([f"a {word}" for word in WORDS], [f"{word} is" for word in WORDS])
    assert (found.argmax(axis=1) == np.arange(4)).all()
    name = "root_mean_squared_error" if objective == "cosine" else "accuracy"
    best = 0.3 if objective == "cosine" else 0.9
    assert (history[name][-1] < best) == (objective == "cosine")


def test_a_keras_file_keeps_what_is_learnt_and_how(tmp_path):
    task = TextEmbedder(bert(), pooling="first", normalize=False, max_length=8)
    task.compile(objective="triplet", margin=0.3)
    task.save(tmp_path / "task.keras")
    again = keras.saving.load_model(tmp_path / "task.keras")
    assert (again.pooling, again.normalize, again.max_length) == ("first", False, 8)
    assert (again.objective, again.margin) == ("triplet", 0.3)
    np.testing.assert_allclose(again(rows(3)), task(rows(3)), atol=1e-6)


def test_a_file_of_pairs_is_answered_and_counted(task, tmp_path):
    lines = [
        f"{a}\t{b}\t{i}"
        for i, (a, b) in enumerate(itertools.combinations(TEXTS[4:] + TEXTS[:3], 2))
    ]
    (tmp_path / "pairs.tsv").write_text("\n".join(["one\tother\tscore", *lines]), "utf-8")
    found = evaluate(task, tmp_path / "pairs.tsv", text="one", text_pair="other", verbose=0)
    texts = [line.split("\t")[:2] for line in lines]
    cosines = [float(task.similarity([a], [b])[0, 0]) for a, b in texts]
    ranks = np.argsort(np.argsort(cosines))
    assert found["spearman"] == pytest.approx(np.corrcoef(ranks, np.arange(10))[0, 1], abs=1e-4)
    assert found["pearson"] == pytest.approx(np.corrcoef(cosines, np.arange(10))[0, 1], abs=1e-4)
    assert (found["rows"], found["cut"]) == (10, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "max"}, "pooling='max'"),
        ({"max_length": 11}, "max_length=11"),
        ({"max_length": 0}, "max_length=0"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TextEmbedder(bert(), **arguments)


def test_an_objective_and_its_data_must_fit():
    task, inputs = TextEmbedder(bert()), rows(4)
    with pytest.raises(ValueError, match="objective='contrast'"):
        task.compile(objective="contrast")
    with pytest.raises(ValueError, match="temperature=0"):
        task.compile(temperature=0)
    stacked = {name: value.reshape(2, 2, -1) for name, value in inputs.items()}
    for objective, data in (("triplet", stacked), ("ranking", inputs)):
        task.compile(objective=objective)
        with pytest.raises(ValueError, match=f"objective='{objective}' learns from rows of"):
            task.fit(data, np.zeros(len(data["token_ids"]), "int32"), verbose=0)
