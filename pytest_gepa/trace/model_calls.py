"""Which calls are to models. Any other POST of JSON is to a service of the application's own: telemetry, a tool, an
index. What becomes of such a call is the application's business, and costs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pytest_gepa.trace.attribution import components_used
from pytest_gepa.trace.trajectory import Call


def is_to_model(call: Call) -> bool:
    """Whether a call is one to a model: it left the process, and is of a known protocol or names a model."""
    return call.sent and (call.kind != "other" or bool(call.model))


def to_models(calls: Iterable[Call], texts: Mapping[str, str]) -> tuple[Call, ...]:
    """The calls that have left the process for a model: of a known protocol, or naming a model, or holding a prompt.

    `texts` maps ids of components to their texts.
    """
    return tuple(
        call for call in calls if is_to_model(call) or (call.sent and components_used(texts, [call]))
    )


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
    return tuple(
        replace(call, sent=False) if call.own and call.kind != "embedding" else call for call in calls
    )
