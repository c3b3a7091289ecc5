import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from keras_lm.shards.encoding import Encoding


@pytest.fixture(scope="session")
def numbers():
    """An encoding whose words are numbers: "w7" is the id 7. "w999" ends documents."""
    host = tokenizers.Tokenizer(models.WordLevel({f"w{i}": i for i in range(1000)}, "w0"))
    host.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Encoding(host.to_str(), False, 1000, 999, "masked_lm")
