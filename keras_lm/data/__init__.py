"""Text files to tf.data pipelines."""

from keras_lm.data.causal_lm import causal_lm as causal_lm
from keras_lm.data.denoising import denoising as denoising
from keras_lm.data.masked_lm import masked_lm as masked_lm
from keras_lm.data.pipeline import Pipeline as Pipeline
from keras_lm.data.seq2seq import seq2seq as seq2seq

__all__ = ["Pipeline", "causal_lm", "denoising", "masked_lm", "seq2seq"]
