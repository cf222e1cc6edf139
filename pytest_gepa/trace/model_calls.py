"""Which calls are to models. Any other POST of JSON is to a service of the application's own: telemetry, a tool, an
index. What becomes of such a call is the application's business, and costs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pytest_gepa.cost.meter import TIMEOUTS
from pytest_gepa.trace.attribution import components_used
from pytest_gepa.trace.trajectory import Call

UNSERVED = frozenset({401, 402, 403, 404, 407, 408, 409, 425, 429})
"""Statuses by which a model's server tells of the account, the model's name or its own state, as do those from 500."""


def is_to_model(call: Call) -> bool:
    """Whether a call is one to a model: it left the process, and is of a known protocol or names a model."""
    return call.sent and (call.kind != "other" or bool(call.model))


def is_refused(call: Call) -> bool:
    """Whether a server has turned a call away, so that nothing is paid for it: the model has not worked. It may have
    where somebody between gave up waiting, and has where tokens were counted.
    """
    status = call.status
    if status is None or status in TIMEOUTS or call.input_tokens or call.output_tokens:
        return False
    return status in UNSERVED or status >= 500


def is_served(call: Call) -> bool:
    """Whether a call is one to a model that has not turned it away."""
    return is_to_model(call) and not is_refused(call)


def to_models(calls: Iterable[Call], texts: Mapping[str, str]) -> tuple[Call, ...]:
    """The calls that have left the process for a model: of a known protocol, or naming a model, or holding a prompt.

    `texts` maps ids of components to their texts.
    """
    return tuple(call for call in calls if is_to_model(call) or (call.sent and components_used(texts, [call])))


def without_applications(calls: Sequence[Call], texts: Mapping[str, str]) -> tuple[Call, ...]:
    """The calls of a case, with those to servers of the test's own taken for calls to an application where a model was
    asked besides: that one stands behind it, and is the one that may fail and that costs. Where nothing else was asked
    the test may serve a model of its own. Vectors are made by either, and tell nothing.
    """
    if not any(call.own for call in calls):
        return tuple(calls)
    asked = [call for call in to_models(calls, texts) if call.kind != "embedding"]
    if all(call.own for call in asked):
        return tuple(calls)
    return tuple(replace(call, sent=False) if call.own and call.kind != "embedding" else call for call in calls)
