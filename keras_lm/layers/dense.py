"""A product over the last dimension, laid out so that TensorFlow fuses it with what follows."""

from typing import Any

import keras
import tensorflow as tf

from keras_lm.layers.activations import activation as find_activation
from keras_lm.layers.activations import in_training
from keras_lm.layers.arguments import RecordsArguments
from keras_lm.layers.initializers import Initializer, side_by_side
from keras_lm.layers.low_rank import LowRank, factors
from keras_lm.layers.products import few_by_kernel
from keras_lm.layers.rows import as_before, flat_rows, known_width

Tensor = Any


@keras.saving.register_keras_serializable("keras_lm")
class Dense(RecordsArguments, keras.layers.Layer):
    """`activation(x @ kernel + bias)` over the last dimension.

    The numbers of `keras.layers.Dense`. The product is of flat rows, with `bias_add` and the
    activation right behind it: the form that TensorFlow's CPU runtime fuses into one kernel.

    Args:
        units: F, width of the output.
        activation: a name, see `keras_lm.layers.activation`. None: linear.
        use_bias: whether to add a bias.
        kernel_initializer: of the kernel; the bias starts at zero.
        parts: number of equal column blocks of the kernel that are initialized each as a kernel of
            its own (3 for a query, key and value projection in one).

    Call arguments:
        inputs: float `(..., D)`.
        training: whether there will be a gradient.

    Returns:
        float `(..., F)` in the compute dtype.

    Attributes:
        updates: what was added to the kernel, see `add_low_rank`.

    Raises:
        ValueError: `units` is not positive, or no multiple of `parts`.
    """

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        use_bias: bool = True,
        *,
        kernel_initializer: Initializer = "glorot_uniform",
        parts: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        if units < 1 or units % parts:
            raise ValueError(
                "units must be positive and a multiple of parts. "
                f"Received: units={units}, parts={parts}"
            )
        self.units, self.use_bias, self.parts = units, use_bias, parts
        self.activation = find_activation(activation)
        self.kernel_initializer = kernel_initializer
        self.updates: list[LowRank] = []

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the kernel `(D, F)` and the bias `(F,)`."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(known_width(input_shape), self.units),
            initializer=side_by_side(self.kernel_initializer, self.parts),
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        self.built = True

    def add_low_rank(self, name: str, first: int, last: int, rank: int, scale: float) -> None:
        """Adds an update of low rank to columns of the kernel; at first it changes nothing.

        It is computed beside the product, so a training needs no gradient of the kernel.

        Args:
            name: of what the columns are; "" for all.
            first: of the columns.
            last: behind the last column.
            rank: of the update.
            scale: of the update.
        """
        prefix = f"lora_{name}_" if name else "lora_"
        size = self.kernel.shape[0]
        # As PyTorch's linear layers start: uniform, up to 1 / sqrt(D) either way.
        spread = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        # In float32 whatever the kernel is in: small steps would be lost.
        a = self.add_weight(
            name=f"{prefix}a", shape=(size, rank), initializer=spread, dtype="float32"
        )
        b = self.add_weight(
            name=f"{prefix}b", shape=(rank, last - first), initializer="zeros", dtype="float32"
        )
        self.updates.append(LowRank(name, first, last, a, b, scale))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Multiplies; see the class."""
        few = len(inputs.shape) == 3 and inputs.shape[1] == 1
        activation = in_training(self.activation) if training else self.activation
        return as_before(self._product(flat_rows(inputs), slice(None), few, activation), inputs)

    def columns(
        self, rows_ND: Tensor, first: int = 0, last: int | None = None, *, few: bool = False
    ) -> Tensor:
        """Gives the columns `first .. last` of the linear output, float `(N, last - first)`.

        Args:
            rows_ND: float `(N, D)`.
            first: of the kernel's columns.
            last: behind the last column. None: to the end.
            few: whether there are few rows, one position of each text.
        """
        whole = first == 0 and last in (None, self.units)
        return self._product(rows_ND, slice(None) if whole else slice(first, last), few, None)

    def _product(self, rows_ND: Tensor, columns: slice, few: bool, activation: Any) -> Tensor:
        whole = columns == slice(None)
        kernel = tf.convert_to_tensor(self.kernel if whole else self.kernel[:, columns])
        update: Tensor = None
        if self.updates:
            a_DQ, b_QF = factors(self.updates, self.units, rows_ND.dtype)
            update = tf.matmul(tf.matmul(rows_ND, a_DQ), b_QF if whole else b_QF[:, columns])

        def finish(rows_NF: Tensor) -> Tensor:
            if self.use_bias:
                rows_NF = tf.nn.bias_add(rows_NF, self.bias if whole else self.bias[columns])
            if update is not None:
                rows_NF += update
            return rows_NF if activation is None else activation(rows_NF)

        if few:
            return few_by_kernel(rows_ND, kernel, finish)
        return finish(tf.matmul(rows_ND, kernel))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Replaces the last dimension by `units`."""
        return (*input_shape[:-1], self.units)
