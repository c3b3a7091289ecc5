"""The versions in memory: loads what is wanted, and unloads the rest without a failed request.

A new version is loaded and warmed up beside the old one, then requests go to it, and the old one is
freed when its last request has its answer. One that cannot be loaded is said in the status, is
tried again when its files change, and the old one stays.
"""

import dataclasses
import enum
import logging
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from keras_lm.serving.server.metrics import Metrics
from keras_lm.serving.server.model_config import ModelConfig
from keras_lm.serving.server.servable import Servable
from keras_lm.serving.server.statuses import Code, ServingError, as_serving_error, invalid

# Versions that are no more, and are still told of.
_ENDED_KEPT = 20


class State(enum.IntEnum):
    """Of a version; the numbers are those of ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass
class Version:
    """What is known of one version.

    Attributes:
        state: where it stands.
        error: why it could not be loaded.
        servable: it in memory.
        files: its files when it failed: with others it is tried again.
    """

    state: State = State.START
    error: ServingError | None = None
    servable: Servable | None = None
    files: Any = None


@dataclasses.dataclass(frozen=True)
class Wish:
    """Which version of which model a request asks for: a number, a label or the newest."""

    name: str
    version: int | None = None
    label: str | None = None


class Repository:
    """The models of a server.

    Args:
        configs: says what is to be served; called for every look at the disk.
        load: makes a `Servable` of a name, a version and a directory, warmed up.
        unloaded: told of each version that nobody can reach any more.
        metrics: where it counts.
        logger: where it tells of versions.
    """

    def __init__(
        self,
        configs: Callable[[], list[ModelConfig]],
        load: Callable[[str, int, pathlib.Path], Servable],
        unloaded: Callable[[Servable], None],
        metrics: Metrics,
        logger: logging.Logger,
    ) -> None:
        self._configs, self._load, self._unloaded = configs, load, unloaded
        self._metrics, self._logger = metrics, logger
        self._lock = threading.RLock()
        self._refreshing = threading.Lock()
        self._models: dict[str, dict[int, Version]] = {}
        self._configured: set[str] = set()
        self._labels: dict[str, dict[str, int]] = {}
        self._unloading: list[threading.Thread] = []
        self._told: dict[str, str | None] = {}
        self._ended = threading.Event()
        self._poller: threading.Thread | None = None

    def watch(self, seconds: float) -> None:
        """Looks at the disk every so many seconds, until `close`."""
        self._poller = threading.Thread(
            target=self._poll, args=(seconds,), name="repository", daemon=True
        )
        self._poller.start()

    def _poll(self, seconds: float) -> None:
        while not self._ended.wait(seconds):
            try:
                self.refresh()
                self._tell("", None)
            except Exception as error:
                self._tell("", error)

    def _tell(self, name: str, error: Exception | None) -> None:
        """Logs once, not each time, what is wrong with a model's directory or that of all."""
        told = None if error is None else str(error)
        if told is not None and self._told.get(name) != told:
            self._logger.error("cannot look for versions", extra={"model": name, "error": told})
        self._told[name] = told

    def refresh(self) -> None:
        """Looks at the disk once; loads and unloads. What cannot be read stays as it is.

        Raises:
            ValueError, OSError: what is to be served cannot be found out.
        """
        with self._refreshing:
            configs = {config.name: config for config in self._configs()}
            with self._lock:
                self._configured = set(configs)
            for name, config in configs.items():
                try:
                    wanted = config.wanted()
                except OSError as error:
                    self._tell(name, error)
                    continue
                self._tell(name, None)
                self._bring(name, wanted)
                self._move_labels(name, config.labels)
                self._drop(name, set(wanted))
            for name in [name for name in self._models if name not in configs]:
                self._drop(name, set(), even_the_last=True)

    @contextmanager
    def use(self, wish: Wish) -> Iterator[Servable]:
        """The version that a request asks for; it stays in memory meanwhile.

        Raises:
            ServingError: there is no such version, or it is not available.
        """
        with self._lock:
            servable = self._find(wish)
            servable.retain()
        try:
            yield servable
        finally:
            servable.release()

    def statuses(self, wish: Wish) -> dict[int, Version]:
        """What is known of the versions of a model, the newest first.

        Raises:
            ServingError: nothing is known.
        """
        with self._lock:
            versions = self._models.get(wish.name, {})
            version = wish.version
            if wish.label is not None:
                version = self._labelled(wish)
            if version is not None:
                if version not in versions:
                    raise ServingError(
                        Code.NOT_FOUND, f"Could not find version {version} of model {wish.name}"
                    )
                return {version: dataclasses.replace(versions[version])}
            if not versions:
                raise ServingError(
                    Code.NOT_FOUND, f"Could not find any versions of model {wish.name}"
                )
            return {
                number: dataclasses.replace(versions[number])
                for number in sorted(versions, reverse=True)
            }

    def names(self) -> list[str]:
        """The models that are or were served."""
        with self._lock:
            return sorted(self._models)

    def answers(self, name: str) -> bool:
        """Whether a model has a version that answers."""
        with self._lock:
            return bool(self._available(name))

    def is_ready(self) -> bool:
        """Whether every model has a version that answers."""
        with self._lock:
            return bool(self._configured) and all(
                self._available(name) for name in self._configured
            )

    def close(self, seconds: float) -> None:
        """Ends the watching and frees all, waiting so long for requests."""
        self._ended.set()
        if self._poller is not None:
            self._poller.join(seconds)
        with self._lock:
            held = [v.servable for versions in self._models.values() for v in versions.values()]
            self._models.clear()
        deadline = time.monotonic() + seconds
        for servable in held:
            if servable is not None:
                servable.close_when_unused(max(0.0, deadline - time.monotonic()))
        for thread in self._unloading:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _available(self, name: str) -> list[int]:
        versions = self._models.get(name, {})
        return sorted(n for n, version in versions.items() if version.state == State.AVAILABLE)

    def _labelled(self, wish: Wish) -> int:
        found = self._labels.get(wish.name, {})
        if wish.label not in found:
            raise invalid(f"Unrecognized servable version label: {wish.label}")
        return found[wish.label]

    def _find(self, wish: Wish) -> Servable:
        if not wish.name:
            raise invalid("ModelSpec has no name specified.")
        version = wish.version
        if wish.label is not None:
            version = self._labelled(wish)
        asked = f"Latest({wish.name})" if version is None else f"Specific({wish.name}, {version})"
        if version is None:
            version = max(self._available(wish.name), default=None)
        found = None if version is None else self._models.get(wish.name, {}).get(version)
        if found is None or found.state != State.AVAILABLE or found.servable is None:
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {asked}")
        return found.servable

    def _bring(self, name: str, wanted: Mapping[int, pathlib.Path]) -> None:
        """Loads what is not there yet, the newest first."""
        for number in sorted(wanted, reverse=True):
            path = wanted[number]
            with self._lock:
                known = self._models.get(name, {}).get(number)
                if known is not None and known.state in (State.AVAILABLE, State.UNLOADING):
                    continue
                if known is not None and known.error is not None and known.files == _files(path):
                    continue
                version = Version(State.LOADING)
                self._models.setdefault(name, {})[number] = version
            files = _files(path)
            started = time.monotonic()
            try:
                servable = self._load(name, number, path)
            except Exception as error:
                with self._lock:
                    version.state, version.files = State.END, files
                    version.error = as_serving_error(error)
                self._logger.error(
                    "cannot load a version",
                    extra={"model": name, "version": number, "error": str(error)},
                )
                continue
            with self._lock:
                version.servable, version.state = servable, State.AVAILABLE
                self._count(name)
            self._logger.info(
                "loaded",
                extra={
                    "model": name,
                    "version": number,
                    "seconds": round(time.monotonic() - started, 3),
                },
            )

    def _move_labels(self, name: str, labels: Mapping[str, int]) -> None:
        """A label goes to another version when that one answers, not before."""
        with self._lock:
            available = set(self._available(name))
            old = self._labels.get(name, {})
            self._labels[name] = {
                label: version if version in available else old[label]
                for label, version in labels.items()
                if version in available or label in old
            }

    def _drop(self, name: str, wanted: set[int], *, even_the_last: bool = False) -> None:
        """Unloads what is not wanted, once something that is wanted answers."""
        with self._lock:
            versions = self._models.get(name, {})
            available = self._available(name)
            if wanted and not wanted & set(available) and not even_the_last:
                return
            dropped = [n for n in available if n not in wanted]
            held = []
            for number in dropped:
                versions[number].state = State.UNLOADING
                held.append((versions[number], versions[number].servable))
            if dropped:
                self._count(name)
            # A version that failed and is gone from the disk is no longer told of.
            for number in [n for n, v in versions.items() if v.error and n not in wanted]:
                del versions[number]
            if even_the_last:
                self._labels.pop(name, None)
            self._unloading = [thread for thread in self._unloading if thread.is_alive()]
        for version, servable in held:
            assert servable is not None
            # It waits for requests, which may take long: loading must not.
            thread = threading.Thread(
                target=self._unload, args=(name, version, servable), name="unload", daemon=True
            )
            thread.start()
            self._unloading.append(thread)

    def _unload(self, name: str, version: Version, servable: Servable) -> None:
        servable.close_when_unused()
        self._unloaded(servable)
        with self._lock:
            version.state, version.servable = State.END, None
            versions = self._models.get(name, {})
            ended = sorted(n for n, v in versions.items() if v.state == State.END and not v.error)
            for number in ended[:-_ENDED_KEPT]:
                del versions[number]
        self._logger.info("unloaded", extra={"model": name, "version": servable.version})

    def _count(self, name: str) -> None:
        self._metrics.versions.labels(name).set(len(self._available(name)))


def _files(path: pathlib.Path) -> Any:
    """Names, sizes and times of a version's files: what changes when somebody mends it."""
    found = []
    for directory, _, names in os.walk(path):
        for name in sorted(names):
            try:
                stat = os.stat(os.path.join(directory, name))
            except OSError:
                continue
            found.append((directory, name, stat.st_size, stat.st_mtime_ns))
    return sorted(found)
