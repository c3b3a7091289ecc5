import inspect
import resource

import pytest

from keras_lm import BERT, GPT
from keras_lm.models import abstract
from keras_lm.models.sizes import BERT_SIZES, GPT2_SIZES, GPT3_SIZES

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


def test_counting_takes_no_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # 3.1 GB of float32.
    assert abstract(GPT, **GPT2_SIZES["large"]).count_params() == 774_030_080
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1_000_000  # kB


def test_the_defaults_are_bert_base_and_gpt2_small():
    for model_class, sizes in ((BERT, BERT_SIZES["base"]), (GPT, GPT2_SIZES["small"])):
        defaults = inspect.signature(model_class.__init__).parameters
        assert {name: defaults[name].default for name in sizes} == sizes
    assert inspect.signature(BERT.__init__).parameters["vocab_size"].default == 30_522
    assert inspect.signature(GPT.__init__).parameters["vocab_size"].default == 50_257


def test_a_narrower_position_table_is_projected():
    full, narrow = (
        abstract(BERT, **BERT_SIZES["tiny"], pos_embedding_size=size).count_params()
        for size in (None, 64)
    )
    assert full - narrow == 512 * 128 - (512 * 64 + 64 * 128)
