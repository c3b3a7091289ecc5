"""What can be told of a model in TensorFlow Serving's messages: its versions and signatures."""

from typing import Any

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from keras_lm.serving.server.repository import Repository, Wish
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.statuses import invalid


def wish_of(spec: Any) -> Wish:
    """Whom a ModelSpec asks for.

    Raises:
        ServingError: nobody.
    """
    if not spec.name:
        raise invalid("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    return Wish(
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )


def fill_spec(spec: Any, servable: Servable, signature: str) -> None:
    """Says in an answer who gave it."""
    spec.name = servable.name
    spec.signature_name = signature
    spec.version.value = servable.version


def status(repository: Repository, wish: Wish) -> Any:
    """A GetModelStatusResponse.

    Raises:
        ServingError: there is no such model.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, version in repository.statuses(wish).items():
        told = response.model_version_status.add(version=number, state=int(version.state))
        told.status.SetInParent()
        if version.error is not None:
            told.status.error_code = int(version.error.code)
            told.status.error_message = version.error.message
    return response


def metadata(servable: Servable) -> tuple[Any, Any]:
    """A ModelSpec and a SignatureDefMap."""
    spec = model_pb2.ModelSpec()
    spec.name, spec.version.value = servable.name, servable.version
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in servable.definitions.items():
        signatures.signature_def[name].CopyFrom(definition)
    return spec, signatures
