"""From pytest's reports of one item, and what was recorded meanwhile, to the outcome of a rollout."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pytest

from pytest_gepa.suite.pytest_internals import is_subtest
from pytest_gepa.suite.rollout import Outcome
from pytest_gepa.trace.fields import SO_FAR
from pytest_gepa.trace.model_calls import UNSERVED
from pytest_gepa.trace.streamed_body import CUT_OFF
from pytest_gepa.trace.trajectory import Call

# Exceptions that tell of the way to the model and not of the prompt, by the module they live in and a base's name.
INFRASTRUCTURE = {
    "openai": ("APIError", "APIConnectionError"),
    "anthropic": ("APIError",),
    "httpx": ("TransportError", "HTTPStatusError", "StreamError"),
    "httpx2": ("TransportError", "HTTPStatusError", "StreamError"),
    "requests": ("RequestException",),
    "urllib3": ("HTTPError",),
    "aiohttp": ("ClientError",),
    "botocore": (
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "SSOError",
        "SSOTokenLoadError",
        "TokenRetrievalError",
        "HTTPClientError",
    ),
    "azure": ("ClientAuthenticationError", "ServiceRequestError", "ServiceResponseError"),
    # Those of google.api_core are of gRPC, which is not seen.
    "google": (
        "GoogleAuthError",
        "TooManyRequests",
        "ServerError",
        "Unauthorized",
        "Forbidden",
        "RetryError",
    ),
    "builtins": ("ConnectionError", "TimeoutError", "MemoryError"),
    "asyncio": ("TimeoutError",),
    "asyncio.exceptions": ("TimeoutError",),
    "concurrent": ("TimeoutError",),  # none of Python's own before 3.11
    "multiprocessing": ("TimeoutError",),
    "subprocess": ("TimeoutExpired",),
    "grpc": ("RpcError",),
}
OF_THE_ADDRESS = ("UnsupportedProtocol", "TooManyRedirects", "ContentTypeError")
"""Of these the exceptions, beside each that is a `ValueError`, by which a client finds fault with an address or with
what was there. A tool that a model has told to look at "example.com" raises one: that may be a prompt's doing."""

INFRASTRUCTURE_WORDS = {
    ("builtins", "OSError"): re.compile(r"\[Errno (?:98|48|24|23)\]"),  # a port in use, too many open files
    ("sqlite3", "OperationalError"): re.compile("database (?:table )?is locked"),
    **dict.fromkeys(
        [("psycopg", "OperationalError"), ("psycopg2", "OperationalError")],
        re.compile("too many clients|connection slots|could not connect|connection (?:to server|failed|refused)"),
    ),
}
"""Exceptions of what cases share (files, ports, databases), by package and name, and what their messages say then."""

WITHOUT_KEY = {"openai": "OpenAIError", "groq": "GroqError"}
"""Exceptions that clients raise as they are when they find no key, by package. Those derived from them tell of other
things: of an answer that was cut off, say."""

WITHOUT_KEY_WORDS = {
    "TypeError": re.compile("Could not resolve authentication method"),  # Anthropic
    "ValueError": re.compile("Missing key inputs argument"),  # Gemini
    "KeyError": re.compile(r"'[A-Z0-9_]*API_KEY'$"),  # the application's own look at the environment
}
"""How the message of a built-in exception begins that is raised for want of a key."""

OF_THE_REQUEST = frozenset({400, 404, 405, 409, 410, 413, 415, 422})
"""Statuses by which a server finds fault with what was asked. That may be a prompt's doing: an agent that looks for a
thing which is not there, a request that has become invalid."""

OF_THE_CALL = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
    }
)
"""Statuses of gRPC that do the same."""

OF_THE_ACCOUNT = re.compile(
    r"credit balance is too low|API key (?:not valid|expired)|budget has been exceeded", re.IGNORECASE
)
"""What Anthropic, Gemini and LiteLLM's proxy say with status 400, where others have 401 or 402."""

OF_ITS_MEMORY = re.compile(r"Previous response with id '[^']*' not found|previous_response_not_found", re.IGNORECASE)
"""What the Responses API says with status 400 of an answer that it keeps no longer. The application names one that is
stored here, from days ago perhaps: no prompt has done that."""

OF_THE_SERVER = re.compile(
    r"overloaded|rate.?limit|too many requests|server[ _]error|unavailable|bad gateway"
    r"|\(code (?:40[12378]|429|5\d\d)\)"
    r"|(?:^|; )(?:(?:Remote|Local|Read|Write|Connect|Client|Server|Socket|SSL|Incomplete|Chunked|Protocol|Network|Pool)"
    r"\w*(?:Error|Timeout|Disconnected|Read)|Timeout(?:Error)?)\b"
    rf"|{re.escape(CUT_OFF)}",
    re.IGNORECASE,
)
"""What is told with status 200 and no answer where the server or the connection gave out: gateways put their own error
into the body, streams break or come no further. A task that was cancelled says not why, so `CancelledError` is none."""

SAID = 300
"""Characters of an error that are the server's own words; further on it may quote the request."""

PYTEST_TIMEOUT = re.compile(r"Timeout \(?>\s*[\d.]+s\)?")


def is_infrastructure(error: BaseException) -> bool:
    """Whether an exception, or one that led to it or is part of it, tells of the infrastructure.

    One with a status that finds fault with the request does not, nor one that finds fault with an address. Where it
    came from a model's server, `unanswered` knows more.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        is_listed = any(_is_listed(base) for base in type(current).__mro__)
        is_of_the_text = _finds_fault(current) or _is_of_the_address(current)
        if is_listed and not is_of_the_text:
            return True
        if _is_without_key(current) or _is_shared_out(current):
            return True
        waiting += [current.__cause__, None if current.__suppress_context__ else current.__context__]
        # Those of a group, which Python 3.10 has as a backport.
        members = getattr(current, "exceptions", None)
        if isinstance(members, tuple):
            waiting += [member for member in members if isinstance(member, BaseException)]
    return False


def _is_listed(kind: type) -> bool:
    module = kind.__module__
    package = module if module in INFRASTRUCTURE else module.split(".", 1)[0]
    return kind.__name__ in INFRASTRUCTURE.get(package, ())


def _finds_fault(error: BaseException) -> bool:
    """Whether an exception has a status by which a server finds fault with what was asked."""
    return _status_of(error) in OF_THE_REQUEST or _grpc_status(error) in OF_THE_CALL


def _grpc_status(error: BaseException) -> str:
    """The name of the status that an exception of gRPC has, "" for any other."""
    if all(kind.__module__.split(".", 1)[0] != "grpc" for kind in type(error).__mro__):
        return ""
    try:
        return str(error.code().name)  # type: ignore[attr-defined]
    except Exception:  # what others have made of it is theirs
        return ""


def _is_of_the_address(error: BaseException) -> bool:
    names = {base.__name__ for base in type(error).__mro__}
    if isinstance(error, ValueError):
        return "SSLError" not in names  # that of a refused certificate is one too
    return not names.isdisjoint(OF_THE_ADDRESS) and (_status_of(error) or 0) < 400


def _is_shared_out(error: BaseException) -> bool:
    """Whether something that cases share was taken: run alone the case would not have met that."""
    names = ((kind.__module__.split(".", 1)[0], kind.__name__) for kind in type(error).__mro__)
    words = next((INFRASTRUCTURE_WORDS[name] for name in names if name in INFRASTRUCTURE_WORDS), None)
    return words is not None and words.search(str(error)) is not None


def _is_without_key(error: BaseException) -> bool:
    """Whether a client has found no credentials, so that it has not asked at all."""
    kind = type(error)
    package = kind.__module__.split(".", 1)[0]
    if package == "builtins":
        words = WITHOUT_KEY_WORDS.get(kind.__name__)
        return words is not None and words.match(str(error)) is not None
    return WITHOUT_KEY.get(package) == kind.__name__


def _status_of(error: BaseException) -> int | None:
    """The status that an exception carries, itself or on its response."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status"):
            status = getattr(holder, name, None)
            if isinstance(status, int):
                return status
    return None


def unanswered(calls: Sequence[Call]) -> str:
    """The error of a request to a model that never got its answer, "" if all did.

    An attempt that was repeated is forgiven, by the same model or by another that was told the same, and so is a
    request whose answer the application did not want any more, as another had come: a race of two models, or of two
    attempts, has a loser each time.
    """
    last: dict[str, int] = {call.key: at for at, call in enumerate(calls) if not call.superseded}
    for at in last.values():
        call = calls[at]
        if call.answer is None and _is_unserved(call) and not _was_made_up_for(call, calls[at + 1 :]):
            return call.error or f"HTTP status {call.status}"
    return ""


def _was_made_up_for(call: Call, later: Iterable[Call]) -> bool:
    return bool(call.request) and any(other.answer is not None and other.request == call.request for other in later)


def _is_unserved(call: Call) -> bool:
    """Whether a call without an answer tells of the way to the model, rather than of what was asked."""
    status = call.status
    if status is not None and 200 <= status < 300:
        return OF_THE_SERVER.search(call.error.partition(SO_FAR)[0][:SAID]) is not None
    if status == 400:
        said = call.error[:SAID]
        return (OF_THE_ACCOUNT.search(said) or OF_ITS_MEMORY.search(said)) is not None
    return status is None or status in UNSERVED or status >= 500


def outcome_of(
    reports: Sequence[pytest.TestReport], calls: Sequence[Call], *, trouble: str, setup_asked: bool = False
) -> Outcome:
    """What the reports of one item amount to.

    `calls` are its calls to models, and no others: a service of the application's own that fails is part of what is
    tested. `trouble` is the infrastructure's error that the item raised, or "". `setup_asked` says that a setup which
    failed had asked a model: a fixture that cannot go on with the answer fails the case as its body would.
    """
    own = [report for report in reports if not is_subtest(report)]
    by_phase = {report.when: report for report in own}
    setup, call, teardown = (by_phase.get(phase) for phase in ("setup", "call", "teardown"))
    if setup is None:
        return Outcome.crashed
    if setup.failed:
        is_torn_down = teardown is None or not teardown.failed
        is_of_the_prompt = setup_asked and is_torn_down and not (trouble or unanswered(calls))
        return Outcome.failed if is_of_the_prompt and not _timed_out([setup]) else Outcome.error
    if setup.skipped:
        return Outcome.xfailed if hasattr(setup, "wasxfail") else Outcome.skipped
    if call is None:
        return Outcome.crashed
    if teardown is not None and teardown.failed and not call.failed and not _is_check(teardown, calls):
        return Outcome.error
    if call.skipped:
        return Outcome.xfailed if hasattr(call, "wasxfail") else Outcome.skipped
    if hasattr(call, "wasxfail"):
        return Outcome.xpassed
    failed = [report for report in reports if report.when in ("call", "teardown") and report.failed]
    if not failed:
        return Outcome.passed
    texts = [report.longreprtext for report in failed]
    # The latter is what pytest says of an `expectedFailure` of unittest that passes.
    if any(text.startswith("[XPASS(strict)]") or text == "Unexpected success" for text in texts):
        return Outcome.xpassed
    if _timed_out(failed):
        return Outcome.timeout
    if trouble or unanswered(calls):
        return Outcome.error
    return Outcome.failed


def _is_check(teardown: pytest.TestReport, calls: Sequence[Call]) -> bool:
    """Whether what failed at the end is a check of what the case did with a model: that a tool was called, say."""
    return bool(calls) and crash_message(teardown).startswith(("AssertionError", "assert ", "Failed: "))


def _timed_out(reports: Sequence[pytest.TestReport]) -> bool:
    texts = [report.longreprtext for report in reports]
    return any(PYTEST_TIMEOUT.search(text.rsplit("\n", 3)[-1]) or "Failed: Timeout" in text for text in texts)


def crash_message(report: pytest.TestReport) -> str:
    """The message of what a report failed with, introspection included, without the code around it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else report.longreprtext


def failure_text(reports: Sequence[pytest.TestReport]) -> str:
    """What went wrong as pytest prints it, of failing subtests too, each once."""
    parts = [
        f"{getattr(report, 'head_line', 'subtest')}\n{report.longreprtext}"
        if is_subtest(report)
        else report.longreprtext
        for report in reports
        if report.failed
    ]
    return "\n\n".join(dict.fromkeys(part for part in parts if part.strip()))
