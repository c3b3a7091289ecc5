"""Presets that keras-nlp itself writes here, from backbones with random weights."""

import numpy as np
import pytest

from keras_lm.checkpoints import load, save

# What keras-nlp and TensorFlow Text themselves warn of.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SIZES = {
    "vocabulary_size": 31,
    "num_layers": 2,
    "num_heads": 3,
    "hidden_dim": 12,
    "intermediate_dim": 20,
    "max_sequence_length": 11,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "é"]


@pytest.fixture(scope="module")
def keras_nlp():
    import keras_nlp

    return keras_nlp


def backbone(keras_nlp, name, **options):
    sizes = dict(SIZES)
    if name == "ElectraBackbone":
        sizes["vocab_size"] = sizes.pop("vocabulary_size")
    model = getattr(keras_nlp.models, name)(**sizes, **options)
    random = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(0.3 * random.normal(size=variable.shape))
    return model


IDS = np.random.default_rng(1).integers(0, 31, (3, 7))
MASK = np.arange(7) < np.array([[7], [5], [2]])


def test_a_bert_has_the_numbers_of_its_backbone(keras_nlp, tmp_path):
    theirs = backbone(keras_nlp, "BertBackbone", num_segments=3)
    theirs.save_to_preset(str(tmp_path / "preset"))
    segments = np.random.default_rng(2).integers(0, 3, (3, 7))
    wanted = theirs({"token_ids": IDS, "segment_ids": segments, "padding_mask": MASK})
    ours = load(tmp_path / "preset")
    hidden = ours({"token_ids": IDS, "segment_ids": segments, "padding_mask": MASK})
    np.testing.assert_allclose(hidden, wanted["sequence_output"], atol=1e-5)
    np.testing.assert_allclose(ours.pooler(hidden[:, 0]), wanted["pooled_output"], atol=1e-5)
    assert ours.tokenizer is None

    save(ours, tmp_path / "again")
    again = load(tmp_path / "again")
    for one, other in zip(again.weights, ours.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("RobertaBackbone", {}),
        ("DistilBertBackbone", {}),
        ("ElectraBackbone", {"embedding_dim": 6}),
        ("ElectraBackbone", {"embedding_dim": 12}),
    ],
)
def test_an_encoder_has_the_numbers_of_its_backbone(keras_nlp, tmp_path, name, options):
    theirs = backbone(keras_nlp, name, **options)
    theirs.save_to_preset(str(tmp_path / "preset"))
    inputs = {"token_ids": IDS, "padding_mask": MASK}
    more = {"segment_ids": 0 * IDS} if name == "ElectraBackbone" else {}
    wanted = theirs({**inputs, **more})
    wanted = wanted["sequence_output"] if isinstance(wanted, dict) else wanted
    ours = load(tmp_path / "preset")
    np.testing.assert_allclose(ours(inputs), wanted, atol=1e-5)

    save(ours, tmp_path / "again")
    assert "keras_lm_" not in (tmp_path / "again/config.json").read_text()
    np.testing.assert_array_equal(load(tmp_path / "again")(inputs), ours(inputs))


def test_a_bart_has_the_numbers_of_its_backbone(keras_nlp, tmp_path):
    theirs = backbone(keras_nlp, "BartBackbone")
    theirs.save_to_preset(str(tmp_path / "preset"))
    source, target = IDS, IDS[:, 3:]
    wanted = theirs(
        {
            "encoder_token_ids": source,
            "encoder_padding_mask": MASK,
            "decoder_token_ids": target,
            "decoder_padding_mask": np.ones_like(target),
        }
    )
    ours = load(tmp_path / "preset", "backbone")
    found = ours({"token_ids": source, "padding_mask": MASK, "decoder_token_ids": target})
    np.testing.assert_allclose(found, wanted["decoder_sequence_output"], atol=1e-5)
    assert load(tmp_path / "preset").heads == ("seq2seq",)

    save(ours, tmp_path / "again")
    assert "keras_lm_" not in (tmp_path / "again/config.json").read_text()


def test_a_gpt2_has_the_numbers_of_its_backbone(keras_nlp, tmp_path):
    theirs = backbone(keras_nlp, "GPT2Backbone")
    theirs.save_to_preset(str(tmp_path))
    ours = load(tmp_path)
    assert ours.heads == ("causal_lm",)
    wanted = theirs({"token_ids": IDS, "padding_mask": MASK})
    found = ours.decoder({"token_ids": IDS, "padding_mask": MASK})
    np.testing.assert_allclose(found[MASK], wanted[MASK], atol=1e-5)
    assert load(tmp_path, "backbone").heads == ()
    with pytest.warns(UserWarning, match="has no head for text_classification"):
        assert load(tmp_path, "text_classification", labels=["a", "b"]).labels == ("a", "b")
    with pytest.raises(ValueError, match="labels are for"):
        load(tmp_path, labels=["a", "b"])


def test_a_bert_brings_its_tokenizer_as_keras_nlp_has_it(keras_nlp, tmp_path):
    backbone(keras_nlp, "BertBackbone").save_to_preset(str(tmp_path))
    theirs = keras_nlp.models.BertTokenizer(vocabulary=WORDS, lowercase=True)
    theirs.save_to_preset(str(tmp_path))
    ours = load(tmp_path).tokenizer
    assert ours.tokens == WORDS
    text = "The CATS é"
    assert ours.encode(text, add_special_tokens=False) == np.asarray(theirs(text)).tolist()


def test_a_gpt2_brings_its_tokenizer(keras_nlp, tmp_path):
    tokens = ["<|endoftext|>", *"theĠca", "he"]
    letters = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    backbone(keras_nlp, "GPT2Backbone").save_to_preset(str(tmp_path))
    theirs = keras_nlp.models.GPT2Tokenizer(vocabulary=letters, merges=["h e"])
    theirs.save_to_preset(str(tmp_path))
    ours = load(tmp_path).tokenizer
    assert ours.encode("the cat") == np.asarray(theirs("the cat")).tolist()


def test_a_class_that_is_not_known_here_is_refused_by_name(keras_nlp, tmp_path):
    other = keras_nlp.models.FNetBackbone(31, 1, 8, 12)
    other.save_to_preset(str(tmp_path))
    with pytest.raises(ValueError, match=r"one of the classes BertBackbone.*a FNetBackbone"):
        load(tmp_path)


def test_a_preset_that_cannot_be_had_is_one_error(keras_nlp, monkeypatch, tmp_path):
    def unreachable(name):
        raise RuntimeError("no route to host\nmore")

    monkeypatch.setattr(keras_nlp.models.Backbone, "from_preset", unreachable)
    with pytest.raises(OSError, match=r"bert_tiny_en_uncased: no route to host$"):
        load("bert_tiny_en_uncased")
    with pytest.raises(OSError, match=r"must be able to load the preset.*anything"):
        load("keras_nlp:anything")
