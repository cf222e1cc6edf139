"""From pytest's collected items to cases: identity, the test's own source, parameters, what its marker says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.errors import SettingsError
from pytest_gepa.suite.case_source import FileTexts, case_basis, case_source
from pytest_gepa.suite.case_values import values_digest
from pytest_gepa.suite.pytest_internals import parameter_positions, parameters
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.shown_case import shown_nodeid

PARAMETER_CHARACTERS = 20_000
MARKER_KEYS = ("trials", "threshold", "split", "weight")


def case_id(item: pytest.Item) -> str:
    """The identity of an item: file, qualified name, position in its parameter sets.

    The nodeid would not do: it holds parameter values, and a prompt may be one of them.
    """
    files = [node for node in item.listchain() if isinstance(node, pytest.File)]
    # Not the item's own nodeid where it can be helped: a conftest may have made a title of it.
    file = (files[0] if files else item).nodeid.split("::", 1)[0]
    names = [getattr(node, "originalname", None) or node.name for node in item.listchain() if _is_named(node)]
    positions = parameter_positions(item)
    suffix = f"[{'.'.join(map(str, positions))}]" if positions else ""
    return "::".join([file, *names]) + suffix


def _is_named(node: Any) -> bool:
    if isinstance(node, pytest.File):
        # What is collected within a file as a module of its own (a block of pytest-describe) has the file's path.
        return node.parent is not None and node.parent.path == node.path
    return not isinstance(node, (pytest.Session, pytest.Dir, pytest.Package))


def identify(items: Sequence[pytest.Item]) -> dict[str, pytest.Item]:
    """Items by case id; where two would share one (an item listed twice), a count keeps them apart."""
    found: dict[str, pytest.Item] = {}
    for item in items:
        base = name = case_id(item)
        count = 1
        while name in found:
            count += 1
            name = f"{base}#{count}"
        found[name] = item
    return found


def namesakes(items: Sequence[pytest.Item]) -> set[str]:
    """The identities that several items have: which of them a case is, hangs on what else was collected."""
    counts = Counter(map(case_id, items))
    return {name for name, count in counts.items() if count > 1}


def collect_cases(items: Sequence[pytest.Item], redact: Callable[[str], str] = str) -> tuple[Case, ...]:
    """The cases of the user's session, in collection order, as they are.

    Raises `SettingsError` for a marker that is malformed, whose case it names by what `redact` leaves of it, and for a
    test file that no child session could collect.
    """
    for path, item in {item.path: item for item in items}.items():
        _check_place(path, item)
    files = FileTexts()
    return tuple(_case(name, item, files, redact) for name, item in identify(items).items())


def _check_place(path: Path, item: pytest.Item) -> None:
    root = item.config.rootpath
    if not path.is_relative_to(root):
        raise SettingsError(
            f"the test file {path} lies outside the rootdir {root}, and cannot be run from there; start pytest with "
            "--rootdir and a directory that holds both"
        )
    if "[" in str(path):
        raise SettingsError(
            f"the test file {path} cannot be run by itself, as pytest takes what follows a [ for the parameters of a "
            "test; rename the file or folder"
        )


def threshold(item: pytest.Item, redact: Callable[[str], str] = str) -> float | None:
    """The score in [0, 1] below which the item counts as failed, None unless its marker names one.

    Raises `SettingsError` for a marker that is malformed.
    """
    return _threshold(_marker(item, redact))


def _threshold(marker: Mapping[str, Any]) -> float | None:
    value = marker.get("threshold")
    return None if value is None else float(value)


def _case(name: str, item: pytest.Item, files: FileTexts, redact: Callable[[str], str]) -> Case:
    marker = _marker(item, redact)
    values = parameters(item)
    source, told = case_source(item), told_parameters(item)
    return Case(
        id=name,
        nodeid=item.nodeid,
        source=source,
        parameters=told,
        split=marker.get("split", "search"),
        weight=float(marker.get("weight", 1.0)),
        trials=marker.get("trials"),
        threshold=_threshold(marker),
        basis=case_basis(item, source, values, told, files),
        values=values_digest(values),
    )


def told_parameters(item: pytest.Item) -> tuple[tuple[str, str], ...]:
    """The item's own parameters as (name, repr) pairs."""
    return tuple((name, _repr(value)) for name, value in parameters(item).items())


def _marker(item: pytest.Item, redact: Callable[[str], str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("gepa"))):  # the closest last, so that it wins
        if mark.args:
            raise SettingsError(
                f"{_shown(item, redact)}: the gepa marker takes keywords only: {', '.join(MARKER_KEYS)}"
            )
        values.update(mark.kwargs)
    for key, value in values.items():
        problem = _marker_problem(key, value)
        if problem:
            raise SettingsError(f"{_shown(item, redact)}: @pytest.mark.gepa({key}={value!r}): {problem}")
    return values


def _shown(item: pytest.Item, redact: Callable[[str], str]) -> str:
    """The nodeid as others may see it: what a parameter's name tells to be secret is told by nothing in the nodeid."""
    return shown_nodeid(case_id(item), item.nodeid, told_parameters(item), redact)


def _marker_problem(key: str, value: object) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if key == "trials":
        return "" if isinstance(value, int) and is_number and value >= 1 else "expected a whole number, 1 or more"
    if key == "threshold":
        return "" if is_number and 0 <= value <= 1 else "expected a number from 0 to 1"  # type: ignore[operator]
    if key == "weight":
        return "" if is_number and 0 < value < math.inf else "expected a number above 0"  # type: ignore[operator]
    if key == "split":
        return "" if value in ("search", "holdout") else "expected 'search' or 'holdout'"
    return f"there is no such keyword; known are {', '.join(MARKER_KEYS)}"


def _repr(value: object) -> str:
    try:
        text = repr(value)
        # Python shuffles the texts in a set anew in every process; a case must read the same in all.
        with suppress(RecursionError):  # a container that holds itself
            text = repr_in_order(value) if "{" in text else text
    except Exception as error:
        text = f"<repr failed: {type(error).__name__}>"
    return text if len(text) <= PARAMETER_CHARACTERS else text[:PARAMETER_CHARACTERS] + " ..."


def repr_in_order(value: Any) -> str:
    """The repr of a value, with what is in sets sorted, also of those within Python's own containers."""
    kind = type(value)
    if kind in (set, frozenset) and value:
        inner = f"{{{', '.join(sorted(map(repr_in_order, value)))}}}"
        return inner if kind is set else f"frozenset({inner})"
    if kind is dict:
        return f"{{{', '.join(f'{repr_in_order(key)}: {repr_in_order(item)}' for key, item in value.items())}}}"
    if kind is list:
        return f"[{', '.join(map(repr_in_order, value))}]"
    if kind is tuple:
        return f"({', '.join(map(repr_in_order, value))}{',' * (len(value) == 1)})"
    return repr(value)
