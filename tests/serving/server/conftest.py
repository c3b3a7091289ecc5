import pytest
import small_models

pytest.importorskip("tensorflow_serving.apis", reason="needs the extra serve")

from a_server import serving
from asking import Stubs


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A directory of small models; nobody writes into it."""
    directory = tmp_path_factory.mktemp("models")
    small_models.halves(directory / "halves" / "2", add=3.0)
    for name in ("kinds", "picky", "slow", "calls_python"):
        getattr(small_models, name)(directory / name / "1")
    return directory


@pytest.fixture(scope="session")
def server(models):
    with serving(models, allow_reload_config=True) as found:
        yield found


@pytest.fixture(scope="session")
def stubs(server):
    with Stubs(server.port) as found:
        yield found
