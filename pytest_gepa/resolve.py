"""Settings, resolved from options, ini keys and environment, and checked once."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import pytest

from pytest_gepa.cost.book import MOST_USD
from pytest_gepa.cost.prices import PriceList
from pytest_gepa.errors import SettingsError
from pytest_gepa.options import INI_ONLY, MODES, SETTINGS, asked_modes, mode_of
from pytest_gepa.prompts.edits import KINDS
from pytest_gepa.settings import (
    DEFAULT_CACHE_MEGABYTES,
    DEFAULT_CONCURRENCY,
    DEFAULT_REFLECTION_TIMEOUT,
    DEFAULT_TIMEOUT,
    SCORE_RULE,
    Settings,
)
from pytest_gepa.suite.pytest_internals import (
    keep_order,
    quieten,
    switch_off_distribution,
    unknown_ini_keys,
    watch_parameters,
)

T = TypeVar("T", int, float)

ISOLATIONS = ("auto", "fork", "spawn", "strict")
REPLAY_MODES = ("auto", "only", "off")
BASELINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_CHECK_RULES = ("regressed", "suspect", "none")
FAIL_RULES = {
    "optimize": ("not-proven",),
    "check": _CHECK_RULES,
    "baseline": _CHECK_RULES,
    "save-baseline": (),
    "audit": (),
}
"""What `--gepa-fail-on` may say, by mode; for a check, also against a baseline, `score:X` besides."""

_RUN_NOTHING = {"collectonly": "--collect-only", "setupplan": "--setup-plan", "setuponly": "--setup-only"}
"""Options of pytest, by the name under which it keeps them, under which no test is run. `--setup-plan` sets the last
as well."""


def resolve(config: pytest.Config) -> Settings:
    """Read and check every setting, and prepare the session for the mode that was asked for.

    Raises `SettingsError`, naming the mend, for a setting that cannot be.
    """
    _check_ini_keys(config, [setting.key for setting in (*SETTINGS, *INI_ONLY)])
    _check_options(config)
    mode = mode_of(config.option)
    workers = _prepare(config)
    prompts, base = _prompts(config)
    replay = _choice(config, "replay", REPLAY_MODES) or "auto"
    if mode == "resume" and replay != "auto":
        raise SettingsError(
            f"--gepa-resume goes on from stored answers and asks for the rest; {_raw(config, 'replay')[1]} is "
            f"{replay}, leave it out"
        )
    return Settings(
        mode=mode,
        is_plan="plan" in asked_modes(config.option),
        rootdir=config.rootpath,
        prompts=prompts,
        prompts_base=base,
        reflection_model=_text(config, "reflection-model"),
        budget=_number(config, "budget", int, least=1),
        minutes=_number(config, "max-minutes", float, above=0),
        concurrency=_number(config, "concurrency", int, least=1) or workers or DEFAULT_CONCURRENCY,
        trials=_number(config, "trials", int, least=1),
        holdout=_number(config, "holdout", float, least=0, below=1) or 0.0,
        seed=_number(config, "seed", int) or 0,
        timeout=_number(config, "timeout", float, above=0) or DEFAULT_TIMEOUT,
        max_broken=_number(config, "max-broken", int, least=0) or 0,
        fail_on=_fail_rule(config, mode),
        isolation=_isolation(config),
        replay=replay,
        confirm=_number(config, "confirm", int, least=1) or 1,
        shrinks=_choice(config, "shrink", ("on", "off")) != "off",
        is_joint=_choice(config, "joint", ("on", "off")) == "on",
        reflection_timeout=_number(config, "reflection_timeout", float, above=0) or DEFAULT_REFLECTION_TIMEOUT,
        edits=_edits(config),
        redact=_patterns(config),
        max_cost=_number(config, "max-cost", float, above=0, most=MOST_USD),
        prices=_prices(config),
        cache_size=10**6 * (_number(config, "cache_size", int, least=1) or DEFAULT_CACHE_MEGABYTES),
        revision=_behind_sign(config, mode, "check"),
        resumed=_behind_sign(config, mode, "resume"),
        ancestor=_text(config, "ancestor") or "",
        fails_on_trouble=config.getoption("gepa_fail_on_trouble") or config.getini("gepa_fail_on_trouble"),
        baseline=_baseline(config, "baseline"),
        saved_baseline=_baseline(config, "save-baseline"),
    )


def _prepare(config: pytest.Config) -> int | None:
    """Have pytest and its plugins run the session as a mode needs it; the number of workers that `-n` asked for."""
    workers = switch_off_distribution(config)
    keep_order(config)
    quieten(config)
    watch_parameters(config)
    return workers


def _behind_sign(config: pytest.Config, mode: str, name: str) -> str:
    """What was given to a mode behind its `=`, "" for nothing."""
    return str(config.getoption(f"gepa_{name}") or "") if mode == name else ""


def _baseline(config: pytest.Config, mode: str) -> str:
    """The name that was given to one of `BASELINES`, "" where it was not asked for."""
    name = config.getoption(f"gepa_{mode.replace('-', '_')}")
    if name is not None and not BASELINE_NAME.fullmatch(name):
        raise SettingsError(
            f"--gepa-{mode}: {name!r} is no name of a baseline; give one of letters, digits, '.', '-' and '_' that "
            f"begins with a letter or a digit, as --gepa-{mode} nightly"
        )
    return name or ""


def _fail_rule(config: pytest.Config, mode: str) -> str | None:
    """The rule of this mode. One in the ini file may be meant for another mode; one that was typed may not."""
    text, label = _raw(config, "fail-on")
    rules = FAIL_RULES.get(mode, FAIL_RULES["optimize"])
    has_scores = rules is _CHECK_RULES
    if text is None or text in rules:
        return text
    if has_scores and text.startswith(SCORE_RULE) and _is_share(text.removeprefix(SCORE_RULE)):
        return text
    is_score = text.startswith(SCORE_RULE) and not has_scores
    elsewhere = is_score or any(text in others for others in FAIL_RULES.values())
    if elsewhere and label != "--gepa-fail-on":
        return None
    if not rules:
        raise SettingsError(f"{label}: --gepa-{mode} has no gate, it tells what it finds. Leave the rule out")
    every = [*rules, f"{SCORE_RULE}X (0 <= X < 1)"] if has_scores else rules
    raise SettingsError(f"{label}: {text!r} is not valid; expected one of {', '.join(every)}")


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) < 1
    except ValueError:
        return False


def _check_ini_keys(config: pytest.Config, known: list[str]) -> None:
    for key in unknown_ini_keys(config, known):
        name = key.removeprefix("gepa_").replace("_", "-")
        if name in [mode.name for mode in MODES]:
            raise SettingsError(
                f"{_ini_label(config, key)} is a mode, not a setting; give --gepa-{name} when you want it"
            )
        import difflib

        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise SettingsError(f"{_ini_label(config, key)}: there is no such setting; {hint}")


_OF_MODES = {
    "reflection_model": ("optimize", "resume", "plan"),
    "holdout": ("optimize", "resume", "plan"),
    "max_broken": ("optimize", "resume", "plan"),
    "ancestor": ("optimize", "resume", "plan"),
    "fail_on_trouble": ("check", "baseline"),
}
"""Options that other modes would not heed, and the modes that do. In the ini file, `addopts` too, they may stand for
other runs.
"""


def _check_options(config: pytest.Config) -> None:
    asked, typed = asked_modes(config.option), {str(arg).partition("=")[0] for arg in config.invocation_params.args}
    for name, modes in _OF_MODES.items():
        given = f"--gepa-{name.replace('_', '-')}"
        if asked and given in typed and not {*asked} & {*modes}:
            known = " and ".join(f"--gepa-{mode}" for mode in modes if mode != "plan")
            raise SettingsError(f"{given} says nothing to --gepa-{asked[0]}; it goes with {known}. Leave it out")
    for one, other in combinations(asked_modes(config.option), 2):
        may_be_planned = one == "plan" and other not in ("check", "resume")
        if not may_be_planned and {one, other} != {"resume", "optimize"}:
            raise SettingsError(f"--gepa-{one} and --gepa-{other} exclude each other; give one of them")
    for name, flag in _RUN_NOTHING.items():
        if getattr(config.option, name, False):
            raise SettingsError(f"{flag} and a gepa mode exclude each other; --gepa-plan shows what would run")
    for name, flag in (("usepdb", "--pdb"), ("trace", "--trace")):
        if getattr(config.option, name, False):
            raise SettingsError(f"{flag} needs a terminal that child sessions lack; debug the case with plain pytest")


def _prompts(config: pytest.Config) -> tuple[tuple[str, ...], Path]:
    """The globs, and the directory against which they resolve: where they were written."""
    given = config.getoption("gepa_prompts")
    if given:
        return tuple(given), config.invocation_params.dir
    from_ini = config.getini("gepa_prompts")
    if from_ini:
        return tuple(from_ini), config.inipath.parent if config.inipath else config.rootpath
    return (), config.rootpath


def _edits(config: pytest.Config) -> tuple[str, ...]:
    """The kinds of edit that are allowed, in the order of `KINDS`."""
    text, label = _raw(config, "edits")
    if text is None:
        return KINDS
    given = text.replace(",", " ").split()
    unknown = [kind for kind in given if kind not in KINDS]
    if unknown or not given:
        raise SettingsError(f"{label}: {text!r} is not valid; expected some of {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in given)


def _prices(config: pytest.Config) -> tuple[str, ...]:
    """The lines of the user's own table of prices."""
    try:
        return PriceList(config.getini("gepa_prices")).lines
    except SettingsError as error:
        raise SettingsError(f"{_ini_label(config, 'gepa_prices')}: {error}") from None


def _patterns(config: pytest.Config) -> tuple[str, ...]:
    """The user's own patterns of secrets."""
    patterns, label = tuple(config.getini("gepa_redact")), _ini_label(config, "gepa_redact")
    for pattern in patterns:
        try:
            matches_nothing = re.compile(pattern).search("")
        except re.error as error:
            raise SettingsError(f"{label}: {pattern!r} is no regular expression: {error}") from None
        if matches_nothing:
            raise SettingsError(f"{label}: {pattern!r} matches an empty text; make it match a secret")
    return patterns


def _raw(config: pytest.Config, name: str) -> tuple[str | None, str]:
    """A setting's text and how to name it in a message."""
    key = name.replace("-", "_")
    if name not in [setting.name for setting in INI_ONLY]:
        value = config.getoption(f"gepa_{key}")
        if value is not None:
            return str(value), f"--gepa-{name}"
    value = config.getini(f"gepa_{key}")
    text = str(value).strip() if value is not None else ""
    return text or None, _ini_label(config, f"gepa_{key}")


def _ini_label(config: pytest.Config, key: str) -> str:
    """How to name an ini key in a message: with the file that has it, unless it was given by `-o` or by none."""
    overridden = any(given.partition("=")[0] == key for given in config.getoption("override_ini") or ())
    if config.inipath is None or overridden:
        return key
    return f"{key} ({config.inipath.name})"


def _text(config: pytest.Config, name: str) -> str | None:
    return _raw(config, name)[0]


def _choice(config: pytest.Config, name: str, options: tuple[str, ...]) -> str | None:
    text, label = _raw(config, name)
    if text is not None and text not in options:
        raise SettingsError(f"{label}: {text!r} is not valid; expected one of {', '.join(options)}")
    return text


def _isolation(config: pytest.Config) -> str:
    """How child sessions are made. Forking needs what not every system has."""
    text = _choice(config, "isolation", ISOLATIONS) or "auto"
    if text == "fork" and not _can_fork():
        raise SettingsError(
            f"{_raw(config, 'isolation')[1]}: fork cannot be had on this system, which lacks os.fork or Unix sockets "
            "that keep messages apart (SOCK_SEQPACKET); leave it out, or give spawn"
        )
    return text


def _can_fork() -> bool:
    import socket

    try:
        for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET):
            end.close()
    except (AttributeError, OSError):
        return False
    return hasattr(os, "fork")


def _number(
    config: pytest.Config,
    name: str,
    kind: Callable[[str], T],
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> T | None:
    text, label = _raw(config, name)
    if text is None:
        return None
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not (value >= least and value > above and value < below and value <= most):
        wanted = _wanted(kind, least, above, below, most)
        raise SettingsError(f"{label}: {text!r} is not valid; expected {wanted}")
    return value


def _wanted(kind: Callable[[str], T], least: float, above: float, below: float, most: float) -> str:
    """The numbers that are taken, in words."""
    noun = "a whole number" if kind is int else "a number"
    if above > -math.inf:
        return f"{noun} above {above:g}" + (f", {most:,.0f} at most" if most < math.inf else "")
    bounds = [f"{least:g} or more"] * (least > -math.inf) + [f"below {below:g}"] * (below < math.inf)
    return f"{noun}, {' and '.join(bounds)}" if bounds else noun
