"""Errors that come with status 200: gateways such as OpenRouter send them where the provider behind them has failed."""

from __future__ import annotations

from typing import Any

from pytest_gepa.trace.fields import read_object


def heed_errors(client: Any) -> Any:
    """Have a client of httpx give such an answer the status that its error names: then the SDK tries again what may
    pass, and what remains is read as if it had come with that status.
    """
    send = client.send

    def heeded(request: Any, **options: Any) -> Any:
        response = send(request, **options)
        if response.status_code == 200:
            response.status_code = _status_of(response.content)
        return response

    client.send = heeded
    return client


def error_of(body: bytes) -> object:
    """The error that a body tells in place of an answer, None if it tells none."""
    told = read_object(body) or {}
    return None if isinstance(told.get("choices"), list) else told.get("error") or None


def _status_of(body: bytes) -> int:
    error = error_of(body)
    code = str(error.get("code")) if isinstance(error, dict) else ""
    return int(code) if len(code) == 3 and code.isdecimal() and code[0] in "45" else 200
