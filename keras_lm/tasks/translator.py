"""A text to the same text in another language."""

from typing import ClassVar

import keras

from keras_lm.tasks.target_task import TargetTask


@keras.saving.register_keras_serializable("keras_lm")
class Translator(TargetTask):
    """Translates texts with a `Transformer`.

    Arguments, inputs and what it can be asked are those of `TargetTask`; the loss is that of the
    `Transformer`, the cross-entropy of each target's next token. Data:
    `keras_lm.data.translation`. The exported answer is `translation`.

    Source: Vaswani et al. 2017, arXiv:1706.03762; beams and their penalty: section 6.1.
    """

    ANSWER: ClassVar[str] = "translation"
