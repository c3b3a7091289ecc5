"""How much of a text a model looks at, and how its graph says that it looked at less."""

# Text is cut by bytes before it is tokenized, so that 10 MB cost what the model's length costs.
# Tokens of real text have 2 to 6 bytes: this many leave room for any.
BYTES_PER_TOKEN = 64

# Bits of `status`. The others are `keras_lm.generation.Status`.
CUT = 16  # The text or the ids did not fit into the model, and a part of them was read.
NO_MASK = 32  # A text to be filled holds no mask in what was read.
