"""Text files to tf.data pipelines."""

from keras_lm.data.causal_lm import causal_lm as causal_lm
from keras_lm.data.classification import classification as classification
from keras_lm.data.denoising import denoising as denoising
from keras_lm.data.masked_lm import masked_lm as masked_lm
from keras_lm.data.pipeline import Pipeline as Pipeline
from keras_lm.data.prepare import prepare as prepare
from keras_lm.data.prepare_on_beam import prepare_on_beam as prepare_on_beam
from keras_lm.data.prepared import Prepared as Prepared
from keras_lm.data.question_answering import question_answering as question_answering
from keras_lm.data.seq2seq import seq2seq as seq2seq
from keras_lm.data.similarity import similarity as similarity
from keras_lm.data.splitting import Split as Split
from keras_lm.data.splitting import split_by_hash as split_by_hash
from keras_lm.data.table_rows import read_rows as read_rows
from keras_lm.data.tagging import tagging as tagging
from keras_lm.data.text_pairs import summarization as summarization
from keras_lm.data.text_pairs import translation as translation

__all__ = [
    "Pipeline",
    "Prepared",
    "Split",
    "causal_lm",
    "classification",
    "denoising",
    "masked_lm",
    "prepare",
    "prepare_on_beam",
    "question_answering",
    "read_rows",
    "seq2seq",
    "similarity",
    "split_by_hash",
    "summarization",
    "tagging",
    "translation",
]
