"""Where the reflection model is, by the settings and the environment, and which key it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pytest_gepa.errors import ReflectionError
from pytest_gepa.settings import DEFAULT_REFLECTION_TIMEOUT

DEFAULT_BASE_URL = "https://api.openai.com/v1"
"""The SDK's, by which stored answers are told from those of other servers."""

KEY_NAME = "GEPA_REFLECTION_API_KEY"
USUAL_KEY_NAME = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True)
class ReflectionEndpoint:
    """Where the reflection model is.

    `base_url` None is the SDK's default; `timeout` is in seconds, for one HTTP request. `key_names` are the variables
    that the key has come from, or would.
    """

    model: str
    base_url: str | None = None
    api_key: str = field(default="", repr=False)
    timeout: float = DEFAULT_REFLECTION_TIMEOUT
    key_names: str = field(default=f"{KEY_NAME}, or {USUAL_KEY_NAME}", compare=False)

    def check_key(self) -> None:
        """Raise `ReflectionError` where the key is missing of a server that is known to ask for one."""
        address = self.base_url or DEFAULT_BASE_URL
        if not self.api_key and urlsplit(address).hostname == urlsplit(DEFAULT_BASE_URL).hostname:
            raise ReflectionError(
                f"reflection model {self.model!r} at {DEFAULT_BASE_URL}: no key for it; set {self.key_names}, name "
                "another server by GEPA_REFLECTION_BASE_URL, or give none as the model: then cases alone are read"
            )


def endpoint_from_environment(
    model_setting: str | None,
    environ: Mapping[str, str],
    timeout: float = DEFAULT_REFLECTION_TIMEOUT,
) -> ReflectionEndpoint | None:
    """The endpoint that the settings and the environment name, None if no model is named.

    `model_setting` wins over GEPA_REFLECTION_MODEL; server and key come from GEPA_REFLECTION_BASE_URL and
    GEPA_REFLECTION_API_KEY, else from OPENAI_BASE_URL and OPENAI_API_KEY. Empty variables count as unset. The key
    of the one server is not sent to another host, unless that is this machine. `timeout` is in seconds,
    for one request.
    """
    model = model_setting or environ.get("GEPA_REFLECTION_MODEL")
    if not model:
        return None
    usual = environ.get("OPENAI_BASE_URL") or None
    base_url = environ.get("GEPA_REFLECTION_BASE_URL") or usual
    names = [KEY_NAME, *([USUAL_KEY_NAME] if _may_have_key(base_url, usual) else [])]
    found = next((name for name in names if environ.get(name)), None)
    key = environ[found] if found else ""
    return ReflectionEndpoint(model, base_url, key, timeout, key_names=found or ", or ".join(names))


def _may_have_key(base_url: str | None, usual: str | None) -> bool:
    """Whether a server may be sent the key that was given for the usual one: it is that host, or this machine."""
    host, usual_host = (urlsplit(url or DEFAULT_BASE_URL).hostname for url in (base_url, usual))
    return host == usual_host or host in ("localhost", "127.0.0.1", "::1")
