"""A server in this process, on two free ports."""

import contextlib

from keras_lm.serving.server import BatchingParameters, ModelServer, ServerOptions


@contextlib.contextmanager
def serving(directory=None, batching=None, **options):
    """A server on two free ports."""
    server = ModelServer(
        ServerOptions(
            directory,
            port=0,
            rest_port=0,
            batching=batching or BatchingParameters(),
            poll_seconds=0.05,
            num_threads=1,
            **options,
        )
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()
