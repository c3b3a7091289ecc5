import inspect
import resource

import pytest

from keras_lm import BERT, ELECTRA, GPT, DistilBERT, ELECTRAPretrainer, RoBERTa, Transformer
from keras_lm.models import abstract
from keras_lm.models.sizes import (
    BART_SIZES,
    BERT_SIZES,
    DISTILBERT_SIZES,
    ELECTRA_GENERATOR_SIZES,
    ELECTRA_SIZES,
    GPT2_SIZES,
    GPT3_SIZES,
    ROBERTA_SIZES,
    TRANSFORMER_SIZES,
)

BOTH = ("masked_lm", "next_sentence")


@pytest.mark.parametrize(
    ("name", "encoder_and_pooler"),
    [
        ("tiny", 4_385_920),
        ("mini", 11_170_560),
        ("small", 28_763_648),
        ("medium", 41_373_184),
        ("base", 109_482_240),
        ("large", 335_141_888),
    ],
)
def test_bert_has_the_parameters_of_the_papers(name, encoder_and_pooler):
    model = abstract(BERT, **BERT_SIZES[name], heads=BOTH)
    assert model.encoder.count_params() + model.pooler.count_params() == encoder_and_pooler


@pytest.mark.parametrize(("name", "parameters"), [("base", 110_106_428), ("large", 336_226_108)])
def test_bert_with_both_heads_has_the_parameters_of_the_release(name, parameters):
    assert abstract(BERT, **BERT_SIZES[name], heads=BOTH).count_params() == parameters


def test_bert_base_chinese_has_the_parameters_of_the_release():
    model = abstract(BERT, 21_128, heads=BOTH)
    assert model.encoder.count_params() + model.pooler.count_params() == 102_267_648


@pytest.mark.parametrize(
    ("name", "encoder", "with_head"),
    [("base", 124_055_040, 124_697_433), ("large", 354_310_144, 355_412_057)],
)
def test_roberta_has_the_parameters_of_the_release(name, encoder, with_head):
    model = abstract(RoBERTa, **ROBERTA_SIZES[name])
    assert (model.encoder.count_params(), model.count_params()) == (encoder, with_head)
    assert model.encoder.embedding.positions.embeddings.shape[0] == 514


def test_distilbert_has_the_parameters_of_the_release():
    model = abstract(DistilBERT, **DISTILBERT_SIZES["base"])
    assert (model.encoder.count_params(), model.count_params()) == (66_362_880, 66_985_530)


@pytest.mark.parametrize(
    ("name", "encoder"),
    [("small", 13_483_008), ("base", 108_891_648), ("large", 334_092_288)],
)
def test_electra_discriminators_have_the_parameters_of_the_release(name, encoder):
    width = ELECTRA_SIZES[name]["hidden_size"]
    model = abstract(ELECTRA, **ELECTRA_SIZES[name])
    assert model.encoder.count_params() == encoder
    assert model.count_params() == encoder + width * width + width + width + 1


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("small", 4_580_928),
        ("small_released", 13_483_008),
        ("base", 33_511_168),
        ("large", 50_999_552),
    ],
)
def test_electra_generators_have_the_parameters_of_the_paper(name, encoder):
    model = abstract(ELECTRA, **ELECTRA_GENERATOR_SIZES[name], heads=())
    assert model.count_params() == encoder


@pytest.mark.parametrize(
    ("name", "share"), [("small", 1 / 4), ("small_released", 1), ("base", 1 / 3), ("large", 1 / 4)]
)
def test_a_pretrainer_makes_the_generator_of_the_paper(name, share):
    sizes = ELECTRA_SIZES[name.split("_")[0]]
    model = abstract(ELECTRAPretrainer, **sizes, generator_size=share)
    alone = abstract(ELECTRA, **ELECTRA_GENERATOR_SIZES[name], heads=("masked_lm",))
    discriminator = abstract(ELECTRA, **sizes)
    assert model.generator.count_params() == alone.count_params()
    shared = discriminator.encoder.embedding.count_params()
    assert model.count_params() == discriminator.count_params() + alone.count_params() - shared


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("small", 124_439_808),
        ("medium", 354_823_168),
        ("xl", 1_557_611_200),
    ],
)
def test_gpt2_has_the_parameters_of_the_release(name, parameters):
    assert abstract(GPT, **GPT2_SIZES[name]).count_params() == parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("125M", 125_226_240),
        ("350M", 355_871_744),
        ("760M", 760_300_032),
        ("1.3B", 1_517_123_584),
        ("2.7B", 2_651_553_280),
        ("6.7B", 6_658_404_352),
        ("13B", 12_936_488_380),
        ("175B", 174_604_259_328),
    ],
)
def test_gpt3_has_the_parameters_of_the_papers_sizes(name, parameters):
    assert abstract(GPT, **GPT3_SIZES[name]).count_params() == parameters


@pytest.mark.parametrize(
    ("size", "parameters"),
    [
        (TRANSFORMER_SIZES["base"], 63_082_496),
        (TRANSFORMER_SIZES["big"], 214_245_376),
        (BART_SIZES["base"], 139_420_416),
        (BART_SIZES["large"], 406_291_456),
    ],
)
def test_the_transformer_has_the_parameters_of_the_paper_and_of_barts_release(size, parameters):
    assert abstract(Transformer, **size).count_params() == parameters


def test_counting_takes_no_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # 3.1 GB of float32.
    assert abstract(GPT, **GPT2_SIZES["large"]).count_params() == 774_030_080
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1_000_000  # kB


@pytest.mark.parametrize(
    ("model_class", "sizes", "vocab_size"),
    [
        (BERT, BERT_SIZES["base"], 30_522),
        (RoBERTa, ROBERTA_SIZES["base"], 50_265),
        (DistilBERT, DISTILBERT_SIZES["base"], 30_522),
        (ELECTRA, {**ELECTRA_SIZES["base"], "embedding_size": None}, 30_522),
        (ELECTRAPretrainer, {**ELECTRA_SIZES["base"], "embedding_size": None}, 30_522),
        (GPT, GPT2_SIZES["small"], 50_257),
        (Transformer, TRANSFORMER_SIZES["base"], 37_000),
    ],
)
def test_the_defaults_are_a_released_size(model_class, sizes, vocab_size):
    defaults = inspect.signature(model_class.__init__).parameters
    assert {name: defaults[name].default for name in sizes} == sizes
    assert defaults["vocab_size"].default == vocab_size


def test_a_narrower_position_table_is_projected():
    full, narrow = (
        abstract(BERT, **BERT_SIZES["tiny"], pos_embedding_size=size).count_params()
        for size in (None, 64)
    )
    assert full - narrow == 512 * 128 - (512 * 64 + 64 * 128)
