"""Which requests are calls to a model, where such a call is recorded, where its answer may be, and who pays for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pytest_gepa.cost.meter import Meter
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.chat import ChatRequest
from pytest_gepa.trace.exchange import Exchange, StoredPlace, describe
from pytest_gepa.trace.fare import Fare
from pytest_gepa.trace.keys import Identity, identify
from pytest_gepa.trace.protocols import FALLBACK, Protocol, recognise
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.replay import Place, Stores

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""How this machine is called in addresses."""

FREE = ("/count_tokens", ":countTokens", "/tokenize", "/moderations")
"""How the paths of requests end that name a model and are not charged: no answer is written, and no usage is told."""


TELEMETRY = (
    "/traces/ingest",
    "/v1/traces",
    "/v1/logs",
    "/v1/metrics",
    "/api/public/ingestion",
    "/runs",
    "/runs/batch",
    "/runs/multipart",
    "/envelope/",
    "/store/",
    "/batch/",
    "/capture/",
    "/api/v2/llmobs",
    "/trace/spans",
    "/call/upsert_batch",
    "/logs3",
)
"""How the paths end to which libraries send what an application has done, prompts and answers included: those of
OpenAI's agents, OpenTelemetry (with it Phoenix and Helicone), Langfuse, LangSmith, Sentry, PostHog, Datadog, Weave and
Braintrust. Where such a request names no model it is no call to one, whatever it holds."""


class HeldBack(ConnectionRefusedError):
    """Telemetry that is not sent, as only stored answers are used. Its sender makes do, as when nobody listens."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the calls of a process are recorded, and the answers stored and found.

    Nothing is looked up or stored without a trial. `meter` counts what calls cost, None to let them go uncounted.
    `is_own` tells of an address whether the test itself runs the server there, which may be the code under test: it is
    always asked, and has no price. `holds_prompt` tells of a request whether it holds a prompt that is tested: then it
    is to a model, whatever its protocol. For the rest see `replay.Stores`.
    """

    recorder: Recorder
    cache: ResponseCache | None = None
    trial: str | None = None
    replay: str = "auto"
    recording: ResponseCache | None = None
    redact: Callable[[str], str] | None = None
    meter: Meter | None = None
    is_own: Callable[[str], bool] = lambda url: False
    holds_prompt: Callable[[ChatRequest], bool] = lambda asked: False
    mask: Callable[[str], str] | None = None

    @property
    def stores(self) -> Stores:
        """Where answers are."""
        return Stores(self.cache, self.recording, self.replay, self.redact, self.mask)


def begin(
    target: Target,
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    is_network: Callable[[], bool],
    is_in_process: Callable[[], bool],
) -> Exchange | None:
    """Take a request's place in the record; None for what is no call to a model.

    Every hook of an HTTP library calls this before it sends. `headers` may have names in any case, `body` is what
    goes out. `is_network` tells whether the request would really leave the process (in doubt not: its answer is
    then neither looked up nor stored; asked only when it matters), `is_in_process` whether it goes to an application in
    this process. The exchange must then be ended, by one of its methods or by a `StreamedBody`.
    """
    try:
        given = {name.lower(): value for name, value in headers.items()}
        path = urlsplit(url).path
        recognised = recognise(method, path, given.get("content-type", ""), body)
        if _is_telemetry(path, recognised) and not is_in_process():
            hold_back(target, url, is_network)
            return None
        if recognised is None:
            return None
        protocol, asked = recognised
        within = is_in_process()
        if protocol is FALLBACK and within:
            return None
        to_model = protocol is not FALLBACK or bool(asked.model) or target.holds_prompt(asked)
        identity = identify(method, url, given, body, is_known=protocol is not FALLBACK)
        is_own = target.is_own(url)
        claim = None
        if target.trial is not None and target.stores.used and not is_own and _may_be_stored(protocol, asked, url):
            what = f"{method.upper()} {path}"
            claim = _claim(target, target.trial, protocol, identity, what, is_network, to_model=to_model)
        fare = None
        has_price = to_model and not (protocol is FALLBACK and path.rstrip("/").endswith(FREE))
        if target.meter is not None and not (within or is_own) and has_price:
            # Where no model is named the host stands for it: a path may hold a token.
            name = asked.model or urlsplit(url).hostname or ""
            fare = Fare(target.meter, name, body, has_answers=asked.kind != "embedding")
        return Exchange(target.recorder, protocol, asked, identity.request, claim, fare, within=within, own=is_own)
    except HeldBack:
        raise
    except Exception as error:
        target.recorder.add_problem(describe(error))
        if target.meter is not None and target.meter.purse is not None:
            raise target.meter.purse.refuse(f"a request cannot be read: {describe(error)}") from error
        return None


def hold_back(target: Target, url: str, is_network: Callable[[], bool]) -> None:
    """Raise `HeldBack` for telemetry, whatever its body, that would leave this machine while only stored answers are
    used.
    """
    parts = urlsplit(url)
    is_told = parts.path.endswith(TELEMETRY) and parts.hostname not in LOOPBACK
    if target.replay == "only" and is_told and is_network():
        raise HeldBack(f"nothing is told to {parts.hostname}: only stored answers are used")


def _is_telemetry(path: str, recognised: tuple[Protocol, ChatRequest] | None) -> bool:
    """Whether a request of no known protocol tells someone what was done: in JSON, or in what nobody reads here."""
    return path.endswith(TELEMETRY) and (recognised is None or (recognised[0] is FALLBACK and not recognised[1].model))


def _may_be_stored(protocol: Protocol, asked: ChatRequest, url: str) -> bool:
    """Whether a request may be answered from what is stored.

    One of an unknown protocol that names no model and stays on this machine may as well go to a server that the test
    has started: the code under test, which must run.
    """
    return protocol is not FALLBACK or bool(asked.model) or urlsplit(url).hostname not in LOOPBACK


def _claim(
    target: Target,
    trial: str,
    protocol: Protocol,
    identity: Identity,
    asked: str,
    is_network: Callable[[], bool],
    *,
    to_model: bool,
) -> StoredPlace | None:
    """Number a request among the identical ones of its case; None for one that does not leave the process."""
    if not is_network():
        return None
    ordinal = target.recorder.claim(identity.content)
    reusable = protocol.cacheable
    place = Place(target.stores, identity, trial, ordinal.number, reusable=reusable, to_model=to_model)
    return StoredPlace(place, ordinal, asked)
