"""Attention scores and attributions against Transformers and Captum, where they are installed."""

import numpy as np
import pytest

from keras_lm import TextClassifier
from keras_lm.checkpoints import load
from keras_lm.tokenizers import ByteBPE, WordPiece

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

WORDS = ["good", "bad", "a", "film", "no", "it", "is", ".", "##s"]
TOKENIZER = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
TEXTS = ["a good film.", "no films", "bad"]
_BERT = {
    "vocab_size": 31,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 13,
    "initializer_range": 0.5,
}
# Architecture without its head, sizes, and where its token table is.
CASES = {
    "bert": ("Bert", _BERT, "bert.embeddings.word_embeddings"),
    "roberta": (
        "Roberta",
        {**_BERT, "type_vocab_size": 1, "pad_token_id": 0},
        "roberta.embeddings.word_embeddings",
    ),
    "distilbert": (
        "DistilBert",
        {
            "vocab_size": 31,
            "dim": 12,
            "n_layers": 2,
            "n_heads": 3,
            "hidden_dim": 20,
            "max_position_embeddings": 13,
            "initializer_range": 0.5,
        },
        "distilbert.embeddings.word_embeddings",
    ),
    "electra": (
        "Electra",
        {**_BERT, "embedding_size": 6},
        "electra.embeddings.word_embeddings",
    ),
    "gpt2": (
        "GPT2",
        {
            "vocab_size": 31,
            "n_embd": 12,
            "n_layer": 2,
            "n_head": 3,
            "n_positions": 13,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
            "initializer_range": 0.3,
        },
        "transformer.wte",
    ),
}


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    """Theirs, ours with the same weights, and their token table."""
    name, sizes, table = CASES[request.param]
    torch.manual_seed(3)
    config = getattr(transformers, f"{name}Config")(
        **sizes, id2label={0: "no", 1: "yes", 2: "so"}, attn_implementation="eager"
    )
    theirs = getattr(transformers, f"{name}ForSequenceClassification")(config).eval()
    with torch.no_grad():  # Heads and biases start at 0 or small.
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    ours = load(folder)
    ours.tokenizer = TOKENIZER if name != "GPT2" else _bytes()
    return theirs, ours, theirs.get_submodule(table)


def _bytes():
    letters = ["<pad>", "<s>", "</s>", "Ġ", *"abcdefgilmnost."]
    vocabulary = {letter: id_ for id_, letter in enumerate(letters)}
    return ByteBPE(vocabulary, [], end_token="</s>", pad_token="<pad>")


def ids_of(found, ours):
    row = ours.tokenizer.encode(found.texts[0])
    assert len(row) == len(found.tokens)
    return torch.tensor([row])


def test_attention_scores_are_those_of_transformers(pair):
    theirs, ours, _ = pair
    for found in ours.attention_scores(TEXTS):
        with torch.no_grad():
            outputs = theirs(input_ids=ids_of(found, ours), output_attentions=True)
        wanted = np.stack([layer[0].numpy() for layer in outputs.attentions])
        np.testing.assert_allclose(found.scores, wanted, atol=1e-5)


@pytest.mark.parametrize("output", ["logit", "probability"])
def test_attributions_are_those_of_captum(pair, output):
    attr = pytest.importorskip("captum.attr")
    theirs, ours, table = pair
    assert isinstance(ours, TextClassifier)
    for found in ours.attributions(TEXTS, ["no", "yes", "so"], output=output):
        ids = ids_of(found, ours)
        added = torch.tensor([[token.part < 0 for token in found.tokens]])
        replaced = torch.where(added, ids, torch.tensor(ours.tokenizer.pad_id))

        def forward(token_ids):
            logits = theirs(input_ids=token_ids).logits
            return logits.softmax(-1) if output == "probability" else logits

        captum = attr.LayerIntegratedGradients(forward, table)
        target = list(ours.labels).index(found.target)
        moved, error = captum.attribute(
            ids, replaced, target=target, n_steps=50, return_convergence_delta=True
        )
        np.testing.assert_allclose(found.scores, moved.sum(-1)[0].detach(), atol=1e-4)
        # Captum asks theirs for the baseline by its ids, where RoBERTa has other positions and
        # GPT-2 another last token.
        if not type(theirs).__name__.startswith(("GPT2", "Roberta")):
            assert found.error == pytest.approx(float(error), abs=1e-4)
