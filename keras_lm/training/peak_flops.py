"""How many floating-point operations a second a device reaches in a large matrix product."""

import time

import tensorflow as tf


def measured_peak_flops(dtype: str = "float32", size: int = 2_048, repeats: int = 5) -> float:
    """Multiplies square matrices on the first device and returns the best rate.

    That is what this machine reaches now: less than a data sheet says, and less still where other
    work shares the machine.

    Args:
        dtype: of the matrices: the compute dtype of the training.
        size: n; a product counts 2 n^3.
        repeats: how many products are made; the fastest counts.

    Returns:
        Floating-point operations a second.
    """
    device = "GPU:0" if tf.config.list_logical_devices("GPU") else "CPU:0"
    seconds = []
    with tf.device(device):
        matrix = tf.cast(tf.random.stateless_uniform((size, size), (0, 0)), dtype)
        for _ in range(repeats):
            start = time.perf_counter()
            tf.matmul(matrix, matrix)[0, 0].numpy()  # to read a number waits for the product
            seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)
