"""The desk fixture, and the offline model that stands in where no real one is named."""

from __future__ import annotations

import os

import pytest
from desk.pipeline import Desk
from offline_model.chat import DESK_MODEL, REFLECTION_MODEL
from offline_model.server import OfflineServer

OFFLINE = "DESK_OFFLINE"


class OfflineModel:
    """The server of this process and the environment variables that point at it."""

    def __init__(self) -> None:
        self.server = OfflineServer()
        self.pid = os.getpid()
        self.before: dict[str, str | None] = {}

    def start(self) -> None:
        self.server.start()
        settings = {
            OFFLINE: "1",
            "OPENAI_BASE_URL": self.server.url,
            "OPENAI_API_KEY": "offline",
            "DESK_MODEL": DESK_MODEL,
            "GEPA_REFLECTION_MODEL": REFLECTION_MODEL,
            "GEPA_REFLECTION_BASE_URL": self.server.url,
            "GEPA_REFLECTION_API_KEY": "offline",
        }
        for name in ("NO_PROXY", "no_proxy"):  # a proxy would look for 127.0.0.1 on its own machine
            settings[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))
        self.before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)

    def stop(self) -> None:
        if os.getpid() != self.pid:  # a fork of the process that started the server
            return
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self.server.stop()


OFFLINE_MODEL = pytest.StashKey[OfflineModel]()


def pytest_configure(config: pytest.Config) -> None:
    # A key alone names no model: who has one for other work shall not pay for the example. A child process of an
    # offline run finds both variables set, and so uses the server of its parent.
    if os.environ.get("DESK_MODEL") or os.environ.get("OPENAI_BASE_URL"):
        return
    config.stash[OFFLINE_MODEL] = OfflineModel()
    config.stash[OFFLINE_MODEL].start()


def pytest_unconfigure(config: pytest.Config) -> None:
    model = config.stash.get(OFFLINE_MODEL, None)
    if model is not None:
        model.stop()


def pytest_report_header() -> str:
    if os.environ.get(OFFLINE):
        return "desk: offline simulated model (no other is named): numbers say nothing about real models"
    return f"desk: model {Desk.model_name()}"


@pytest.fixture(scope="session")
def desk() -> Desk:
    return Desk.from_environment()
