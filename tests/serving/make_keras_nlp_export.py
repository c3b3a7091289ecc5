"""Makes `golden/keras_nlp_bert.pb.gz`: the graph of a classifier that keras-nlp's parts make up.

    python tests/serving/make_keras_nlp_export.py

Needs tensorflow-text beside keras-nlp. Only the graph is kept, for the audit to look at.
"""

import gzip
import pathlib
import tempfile

import keras_nlp
import tensorflow as tf

GOLDEN = pathlib.Path(__file__).parent / "golden" / "keras_nlp_bert.pb.gz"


def main() -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "##ly"]
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=vocabulary, lowercase=True)
    preprocessor = keras_nlp.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=8)
    backbone = keras_nlp.models.BertBackbone(
        vocabulary_size=len(vocabulary),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=8,
        max_sequence_length=8,
    )
    model = keras_nlp.models.BertTextClassifier(backbone, num_classes=2, preprocessor=None)

    class Served(tf.Module):
        def __init__(self) -> None:
            self.model, self.preprocessor = model, preprocessor

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
        def classify(self, text: tf.Tensor) -> dict:
            return {"logits": self.model(self.preprocessor(text))}

    served = Served()
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(served, directory, signatures=served.classify)
        graph = (pathlib.Path(directory) / "saved_model.pb").read_bytes()
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_bytes(gzip.compress(graph, mtime=0))
    print(GOLDEN.stat().st_size)


if __name__ == "__main__":
    main()
