"""What stands between a model's hidden states and the logits of a task, family by family."""

from typing import NamedTuple

from keras_lm.models import BERT, ELECTRA, GPT, DistilBERT, RoBERTa, Transformer


class HeadKind(NamedTuple):
    """The heads of a family, as its reference has them.

    A text's logits: the hidden state of one token, dropout where `drops_hidden`, the dense layer
    where there is one, dropout, a linear layer. A token's and an answer's: dropout, a linear layer.

    Attributes:
        token: whose hidden state stands for the text: the `"first"`, or the `"last"` that is no
            padding.
        dense: name of the dense layer, as wide as the hidden states; `"pooler"`: the model's own,
            where it has one. None: there is none.
        activation: of the dense layer.
        drops_hidden: whether there is dropout before the dense layer, too.
        bias: whether the linear layer of a text has one.
        text_dropout: rate of the text's dropout. None: that of the model.
        token_dropout: rate of the tokens' dropout. None: that of the model.
        answer_dropout: rate of the answers' dropout.
        for_tokens: whether its tokens can be classified.
    """

    token: str = "first"
    dense: str | None = None
    activation: str | None = None
    drops_hidden: bool = False
    bias: bool = True
    text_dropout: float | None = None
    token_dropout: float | None = None
    answer_dropout: float = 0.0
    for_tokens: bool = True


HEADS: dict[type, HeadKind] = {
    # Devlin et al. 2019, arXiv:1810.04805, section 4, and the released code: the pooler.
    BERT: HeadKind(dense="pooler", activation="tanh"),
    # The dense layer is one of the task; Transformers, modeling_roberta and modeling_electra.
    RoBERTa: HeadKind(dense="dense", activation="tanh", drops_hidden=True),
    ELECTRA: HeadKind(dense="dense", activation="gelu", drops_hidden=True),
    # Transformers, modeling_distilbert and its config's rates.
    DistilBERT: HeadKind(
        dense="pre_classifier", activation="relu", text_dropout=0.2, answer_dropout=0.1
    ),
    # Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", section
    # 3.2; without a bias and dropout in Transformers.
    GPT: HeadKind(token="last", bias=False, text_dropout=0.0, token_dropout=0.1),
    # BART: Lewis et al. 2020, arXiv:1910.13461, section 3.1; Transformers, modeling_bart.
    Transformer: HeadKind(
        token="last",
        dense="dense",
        activation="tanh",
        drops_hidden=True,
        text_dropout=0.0,
        for_tokens=False,
    ),
}


def head_of(model: type) -> HeadKind:
    """Finds the kind of a model's heads, by its class.

    Raises:
        ValueError: it is no model that a task can stand on.
    """
    if model in HEADS:
        return HEADS[model]
    names = ", ".join(kind.__name__ for kind in HEADS)
    raise ValueError(
        f'A task stands on one of {names}, such as keras_lm.load(..., task="backbone") gives. '
        f"Received: a {model.__name__}"
    )
