"""A text to a short one that says the same."""

from typing import ClassVar

import keras

from keras_lm.tasks.target_task import TargetTask


@keras.saving.register_keras_serializable("keras_lm")
class Summarizer(TargetTask):
    """Summarizes texts with a `Transformer`.

    Arguments, inputs and what it can be asked are those of `TargetTask`; the loss is that of the
    `Transformer`, the cross-entropy of each target's next token. Data:
    `keras_lm.data.summarization`. The exported answer is `summary`.

    Source: Lewis et al. 2020, arXiv:1910.13461, section 5.3, where BART is fine-tuned so; there
    `no_repeat_ngram_size=3` and lengths that the data set asks for.
    """

    ANSWER: ClassVar[str] = "summary"
