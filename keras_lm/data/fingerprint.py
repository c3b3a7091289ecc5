"""What two tokenizers must share for the ids of the one to be those of the other."""

import hashlib
import json

from keras_lm.tokenizers.tokenizer import Tokenizer


def fingerprint(tokenizer: Tokenizer) -> str:
    """A SHA-256, in hexadecimal, of all that ids depend on: vocabulary, rules, special tokens.

    Not of whether special tokens are parsed in texts: the ids mean the same.
    """
    host = json.loads(tokenizer.host.to_str())
    roles = ("pad_id", "unk_id", "cls_id", "sep_id", "mask_id", "end_id")
    values = {
        "rules": [host[name] for name in ("normalizer", "pre_tokenizer", "model")],
        "special": tokenizer.special_ids,
        "roles": [getattr(tokenizer, role) for role in roles],
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
