"""Attention scores and attributions against Transformers and Captum, where they are installed."""

import numpy as np
import pytest

from keras_lm import TextClassifier, Translator
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


def saved(theirs, folder, tokenizer):
    """Ours, with the same weights, all of which count."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.save_pretrained(folder)
    ours = load(folder)
    ours.tokenizer = tokenizer
    return theirs.eval(), ours


def moved_by_captum(forward, layer, ids, replaced, *further):
    """What Captum says of the sum of the columns that `forward` gives, each for itself."""
    attr = pytest.importorskip("captum.attr")
    captum = attr.LayerIntegratedGradients(forward, layer)
    columns = forward(ids, *further).shape[-1]
    found = [
        captum.attribute(ids, replaced, additional_forward_args=further, target=i, n_steps=50)
        for i in range(columns)
    ]
    return sum(found).sum(-1)[0].detach()


def of_labels(logits, labels):
    known = logits[..., : _bytes().vocab_size].log_softmax(-1)
    return torch.stack([known[:, i, label] for i, label in enumerate(labels)], dim=-1)


def test_what_follows_a_prompt_is_explained_as_captum_does(tmp_path):
    config = transformers.GPT2Config(**CASES["gpt2"][1], attn_implementation="eager")
    theirs, ours = saved(transformers.GPT2LMHeadModel(config), tmp_path, _bytes())
    prompt, target = ours.tokenizer.encode("a film"), ours.tokenizer.encode(" is b")
    # The target's own tokens are no part of the line, as in Captum's LLMGradientAttribution.
    ids = torch.tensor([[*prompt, *target[:-1]]])
    replaced = torch.tensor([[0] * len(prompt) + target[:-1]])

    def forward(token_ids):
        return of_labels(theirs(input_ids=token_ids).logits[:, len(prompt) - 1 :], target)

    moved = moved_by_captum(forward, theirs.transformer.wte, ids, replaced)
    found = ours.attributions("a film", " is b")
    np.testing.assert_allclose(found.scores, moved[: len(prompt)], atol=1e-4)
    assert found.output == pytest.approx(float(forward(ids).detach().sum()), abs=1e-5)
    with torch.no_grad():
        logits = theirs(input_ids=ids[:, : len(prompt)]).logits[0, -1, : _bytes().vocab_size]
    assert ours.attributions("a film", steps=1).output == pytest.approx(
        float(logits.log_softmax(-1).max()), abs=1e-5
    )


def test_an_answer_is_explained_as_captum_does(tmp_path):
    config = transformers.BertConfig(**_BERT, attn_implementation="eager")
    theirs, ours = saved(transformers.BertForQuestionAnswering(config), tmp_path, TOKENIZER)
    question, context = "is it good", "no bad film is a film"
    ids = torch.tensor([ours.tokenizer.encode(question, context)])
    kinds = torch.tensor([[0] * 5 + [1] * 7])
    replaced = torch.where((ids == 2) | (ids == 3), ids, torch.tensor(0))

    def forward(token_ids, kinds):
        found = theirs(input_ids=token_ids, token_type_ids=kinds)
        return found.start_logits[:, 6:7] + found.end_logits[:, 7:8]  # bad film

    layer = theirs.bert.embeddings.word_embeddings
    moved = moved_by_captum(forward, layer, ids, replaced, kinds)
    found = ours.attributions((question, context), (3, 11), output="logit")
    assert found.target == "bad film"
    np.testing.assert_allclose(found.scores, moved, atol=1e-4)


def test_sources_and_targets_are_explained_as_captum_and_transformers_do(tmp_path):
    config = transformers.BartConfig(
        vocab_size=31,
        d_model=12,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=3,
        decoder_attention_heads=2,
        encoder_ffn_dim=20,
        decoder_ffn_dim=20,
        max_position_embeddings=16,
        init_std=0.4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        scale_embedding=True,
        attn_implementation="eager",
    )
    theirs, ours = saved(transformers.BartForConditionalGeneration(config), tmp_path, _bytes())
    source, target = ours.tokenizer.encode("a film"), ours.tokenizer.encode("good")
    ids, read = torch.tensor([[*source, 2]]), torch.tensor([[2, *target]])
    replaced = torch.tensor([[0] * len(source) + [2]])

    def forward(token_ids, decoder_ids):
        found = theirs(
            input_ids=token_ids,
            attention_mask=torch.ones_like(token_ids),
            decoder_input_ids=decoder_ids,
        )
        return of_labels(found.logits, [*target, 2])

    layer = theirs.model.encoder.embed_tokens
    moved = moved_by_captum(forward, layer, ids, replaced, read)
    found = ours.attributions("a film", "good")
    np.testing.assert_allclose(found.scores, moved, atol=1e-4)
    assert found.output == pytest.approx(
        float(ours.score("a film", "good").log_likelihood[0]), 1e-5
    )

    with torch.no_grad():
        outputs = theirs(input_ids=ids, decoder_input_ids=read, output_attentions=True)
    attended = ours.attention_scores("a film", "good")
    for name, of in attended._asdict().items():
        wanted = getattr(outputs, f"{name}_attentions")
        np.testing.assert_allclose(of.scores, [x[0].numpy() for x in wanted], atol=1e-5)

    task = Translator(ours, num_beams=2, max_new_tokens=4)
    written = task.predict(["a film", "good"], verbose=0).texts
    assert [one.target for one in task.attributions(["a film", "good"], steps=1)] == written
    assert [one.cross.texts[1] for one in task.attention_scores(["a film", "good"])] == written
    greedy = ours.generate("a film")
    assert ours.attributions("a film", steps=1).target == greedy
