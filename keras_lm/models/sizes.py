"""The sizes that papers name, and how many parameters a model has."""

from typing import Any

import tensorflow as tf


def _sizes(rows: list[tuple[str, int, int]]) -> dict[str, dict[str, Any]]:
    """Arguments by name, from names, depths and widths; heads of 64, and four widths inside."""
    return {
        name: {
            "hidden_size": width,
            "num_layers": depth,
            "num_attention_heads": width // 64,
            "num_hidden_units": 4 * width,
        }
        for name, depth, width in rows
    }


# Turc et al. 2019, arXiv:1908.08962, table 1, and Devlin et al. 2019, arXiv:1810.04805, section 3.
BERT_SIZES = _sizes(
    [
        ("tiny", 2, 128),
        ("mini", 4, 256),
        ("small", 4, 512),
        ("medium", 8, 512),
        ("base", 12, 768),
        ("large", 24, 1024),
    ]
)

# Liu et al. 2019, arXiv:1907.11692, sections 4 and 5.
ROBERTA_SIZES = _sizes([("base", 12, 768), ("large", 24, 1024)])

# Sanh et al. 2019, arXiv:1910.01108, section 3.
DISTILBERT_SIZES = _sizes([("base", 6, 768)])

# Clark et al. 2020, arXiv:2003.10555, table 6: the discriminators.
ELECTRA_SIZES = {
    name: {**sizes, "embedding_size": embedding_size}
    for (name, sizes), embedding_size in zip(
        _sizes([("small", 12, 256), ("base", 12, 768), ("large", 24, 1024)]).items(),
        (128, 768, 1024),
        strict=True,
    )
}
# Table 6: the generators beside them. The small one that was released is as large as its
# discriminator.
ELECTRA_GENERATOR_SIZES = {
    name: {**sizes, "embedding_size": ELECTRA_SIZES[name.split("_")[0]]["embedding_size"]}
    for name, sizes in _sizes(
        [
            ("small", 12, 64),
            ("small_released", 12, 256),
            ("base", 12, 256),
            ("large", 24, 256),
        ]
    ).items()
}

# Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", table 2.
GPT2_SIZES = _sizes(
    [("small", 12, 768), ("medium", 24, 1024), ("large", 36, 1280), ("xl", 48, 1600)]
)

# Brown et al. 2020, arXiv:2005.14165, table 2.1; in 1.3B the heads together are wider than the
# model, in 13B narrower. Section 2.1 says that layers alternate between dense and locally banded
# attention, and not how wide the band is: 256 is a choice of this package.
GPT3_SIZES = {
    name: {
        "hidden_size": width,
        "num_layers": depth,
        "num_attention_heads": heads,
        "num_hidden_units": 4 * width,
        "max_length": 2_048,
        "head_dim": head_dim,
        "window": 256,
    }
    for name, depth, width, heads, head_dim in [
        ("125M", 12, 768, 12, 64),
        ("350M", 24, 1024, 16, 64),
        ("760M", 24, 1536, 16, 96),
        ("1.3B", 24, 2048, 24, 128),
        ("2.7B", 32, 2560, 32, 80),
        ("6.7B", 32, 4096, 32, 128),
        ("13B", 40, 5140, 40, 128),
        ("175B", 96, 12_288, 96, 128),
    ]
}

# Vaswani et al. 2017, arXiv:1706.03762, table 3.
TRANSFORMER_SIZES = _sizes([("base", 6, 512), ("big", 6, 1024)])
TRANSFORMER_SIZES["big"]["dropout_rate"] = 0.3

# Lewis et al. 2020, arXiv:1910.13461, section 4, and its released code: sizes of a `Transformer`,
# and what makes it BART.
BART_SIZES = {
    name: {
        "vocab_size": 50_265,
        **sizes,
        "max_length": 1_024,
        "position_kind": "learned",
        "first_position": 2,
        "scale_embedding": False,
        "normalize_embedding": True,
        "activation": "gelu",
        "initializer_range": 0.02,
    }
    for name, sizes in _sizes([("base", 6, 768), ("large", 12, 1024)]).items()
}


def abstract(model_class: type, *arguments: Any, **sizes: Any) -> Any:
    """Builds a model without memory for its weights: shapes alone, of any size.

    Args:
        model_class: `BERT`, `GPT` or another `LanguageModel`.
        *arguments: of its constructor.
        **sizes: of its constructor.

    Returns:
        The model. `count_params()` and the shapes of `weights` are true; it can't be called.
    """
    # Keras keeps the shape of a weight itself and asks TensorFlow for the values alone: one number
    # stands for all of them.
    stand_in = tf.Variable(0.0)
    with tf.variable_creator_scope(lambda *_, **__: stand_in):
        model = model_class(*arguments, **sizes)
        model.build()
    return model
