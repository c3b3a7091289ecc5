import pytest

pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")

from asking import Stubs


@pytest.fixture(scope="session")
def stubs(server):
    with Stubs(server.port) as found:
        yield found
