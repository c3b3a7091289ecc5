"""Every size that a paper names, under one name: `build("bert_base")`.

The numbers of parameters are those of the model that `build` makes, with its default head. They
stand here to be listed at once; the tests count them again.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from keras_lm.models import sizes
from keras_lm.models.bert import BERT
from keras_lm.models.distilbert import DistilBERT
from keras_lm.models.electra import ELECTRA
from keras_lm.models.gpt import GPT
from keras_lm.models.roberta import RoBERTa
from keras_lm.models.transformer import Transformer
from keras_lm.training import LanguageModel


class Size(NamedTuple):
    """A model of a paper.

    Attributes:
        model: its class.
        arguments: of the constructor, by name.
        parameters: how many it has.
        paper: where it comes from.
    """

    model: type[LanguageModel]
    arguments: Mapping[str, Any]
    parameters: int
    paper: str


def _named(
    family: str,
    model: type[LanguageModel],
    table: Mapping[str, Mapping[str, Any]],
    parameters: list[int],
    paper: str,
    **arguments: Any,
) -> Iterator[tuple[str, Size]]:
    for (name, size), count in zip(table.items(), parameters, strict=True):
        yield f"{family}_{name}", Size(model, {**size, **arguments}, count, paper)


_BERT = "Devlin et al. 2019, arXiv:1810.04805"
_MINIATURES = "Turc et al. 2019, arXiv:1908.08962"
_ELECTRA = "Clark et al. 2020, arXiv:2003.10555"

CATALOG: dict[str, Size] = dict(
    (
        *_named(
            "bert",
            BERT,
            {name: sizes.BERT_SIZES[name] for name in ("tiny", "mini", "small", "medium")},
            [4_416_698, 11_201_594, 28_795_194, 41_404_730],
            _MINIATURES,
        ),
        *_named(
            "bert",
            BERT,
            {name: sizes.BERT_SIZES[name] for name in ("base", "large")},
            [109_514_298, 335_174_458],
            _BERT,
        ),
        *_named(
            "bert",
            BERT,
            {"base_chinese": sizes.BERT_SIZES["base"]},
            [102_290_312],
            f"{_BERT}, released code",
            vocab_size=21_128,
        ),
        *_named(
            "roberta",
            RoBERTa,
            sizes.ROBERTA_SIZES,
            [124_697_433, 355_412_057],
            "Liu et al. 2019, arXiv:1907.11692",
        ),
        *_named(
            "distilbert",
            DistilBERT,
            sizes.DISTILBERT_SIZES,
            [66_985_530],
            "Sanh et al. 2019, arXiv:1910.01108",
        ),
        *_named(
            "electra",
            ELECTRA,
            sizes.ELECTRA_SIZES,
            [13_549_057, 109_483_009, 335_142_913],
            _ELECTRA,
        ),
        *_named(
            "electra_generator",
            ELECTRA,
            sizes.ELECTRA_GENERATOR_SIZES,
            [4_620_026, 13_546_682, 33_740_602, 51_295_290],
            _ELECTRA,
            heads=("masked_lm",),
        ),
        *_named(
            "gpt2",
            GPT,
            sizes.GPT2_SIZES,
            [124_439_808, 354_823_168, 774_030_080, 1_557_611_200],
            'Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"',
        ),
        *_named(
            "gpt3",
            GPT,
            sizes.GPT3_SIZES,
            [
                125_226_240,
                355_871_744,
                760_300_032,
                1_517_123_584,
                2_651_553_280,
                6_658_404_352,
                12_936_488_380,
                174_604_259_328,
            ],
            "Brown et al. 2020, arXiv:2005.14165",
        ),
        *_named(
            "transformer",
            Transformer,
            sizes.TRANSFORMER_SIZES,
            [63_082_496, 214_245_376],
            "Vaswani et al. 2017, arXiv:1706.03762",
        ),
        *_named(
            "bart",
            Transformer,
            sizes.BART_SIZES,
            [139_420_416, 406_291_456],
            "Lewis et al. 2020, arXiv:1910.13461",
        ),
    )
)


def build(name: str, **arguments: Any) -> LanguageModel:
    """Makes a model of a size that a paper names, with fresh weights.

    Args:
        name: of `CATALOG`, such as "bert_base" or "gpt3_125M"; `keras-lm models` lists them.
        **arguments: of the constructor, in place of the paper's: `vocab_size`, `tokenizer`, ...

    Returns:
        The model, built.

    Raises:
        ValueError: there is no such name.
    """
    if name not in CATALOG:
        raise ValueError(f"name must be one of {', '.join(CATALOG)}. Received: {name!r}")
    size = CATALOG[name]
    model = size.model(**{**size.arguments, **arguments})
    model.build()
    return model
