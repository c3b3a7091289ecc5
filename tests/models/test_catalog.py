import pytest

from keras_lm.models import abstract, build
from keras_lm.models.catalog import CATALOG


@pytest.mark.parametrize("name", CATALOG)
def test_a_model_of_the_catalog_has_the_parameters_that_it_says(name):
    size = CATALOG[name]
    assert abstract(size.model, **size.arguments).count_params() == size.parameters


def test_a_model_is_built_by_its_name():
    model = build("bert_tiny", vocab_size=100, heads=())
    assert (model.vocab_size, model.encoder.hidden_size, model.heads) == (100, 128, ())
    assert model.built


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"bert_base.*gpt3_175B.*Received: 'bert_huge'"):
        build("bert_huge")
