"""What can be set: modes, options and ini keys, as data. Loaded with every pytest session."""

from __future__ import annotations

import argparse
from typing import NamedTuple


class Setting(NamedTuple):
    """One setting: an option `--gepa-<name>` and, unless it is a mode, an ini key `gepa_<name>`.

    A mode with a `metavar` may have a value, behind `=` only; those of `BASELINES` must have one, as any option.
    """

    name: str
    metavar: str
    help: str


BASELINES = (
    Setting(
        "baseline",
        "NAME",
        "is any case worse than when the baseline NAME was saved? Exits with 1 on a regression; models change under "
        "unchanged prompts",
    ),
    Setting(
        "save-baseline",
        "NAME",
        "run every case many times, and save how often it passed as .gepa/baselines/NAME.json for --gepa-baseline",
    ),
)
MODES = (
    Setting(
        "optimize",
        "",
        "improve the prompts with the collected cases; writes patches, touches no file of yours",
    ),
    Setting(
        "check",
        "REV",
        "--gepa-check[=REV]: is any case worse than under the prompts of REV (default: where this branch left the "
        "default branch)? Exits with 1 on a regression",
    ),
    Setting(
        "resume",
        "RUN",
        "--gepa-resume[=RUN]: go on with an optimization that was cut off (default: the newest); what was paid for is "
        "not paid for again",
    ),
    Setting(
        "audit", "", "find out how much of each prompt the cases notice, by leaving out a piece at a time"
    ),
    *BASELINES,
    Setting(
        "plan",
        "",
        "print what --gepa-optimize (or --gepa-audit, --gepa-baseline, --gepa-save-baseline) would run, and spend "
        "nothing",
    ),
)
SETTINGS = (
    Setting(
        "reflection-model",
        "NAME",
        "model that reads failures and edits prompts, or none (also GEPA_REFLECTION_MODEL)",
    ),
    Setting(
        "budget",
        "ROLLOUTS",
        "most rollouts to pay for, all phases together (default: 20 x cases + repeats + confirm)",
    ),
    Setting(
        "max-cost", "USD", "most that the run may cost, all calls together, never passed (default: no cap)"
    ),
    Setting(
        "max-minutes",
        "M",
        "start nothing new after this many minutes, a confirm run included (default: no limit)",
    ),
    Setting("concurrency", "N", "cases in flight at once, and reflections (default: 8, or the number of -n)"),
    Setting(
        "trials",
        "N",
        "repetitions of each case in the confirm run (default: 3, 1 if answers repeat exactly); with --gepa-check and "
        "--gepa-baseline the most on either side, with --gepa-save-baseline those that are saved (default: 32)",
    ),
    Setting(
        "holdout",
        "SHARE",
        "share of the cases kept out of the search, run with the confirm only (default: 0)",
    ),
    Setting("seed", "N", "seed of every random choice (default: 0)"),
    Setting("timeout", "S", "seconds that one case may take (default: 120)"),
    Setting("max-broken", "N", "most cases that pass today and may fail under the winner (default: 0)"),
    Setting(
        "fail-on",
        "RULE",
        "when to exit with 1. --gepa-check and --gepa-baseline: regressed (default), suspect, score:X (the mean score "
        "fell by more than X, proven), none; --gepa-optimize: not-proven (no gain is proven)",
    ),
    Setting(
        "ancestor",
        "REV",
        "with --gepa-optimize: take the prompts of this commit into the search beside today's",
    ),
    Setting(
        "replay",
        "MODE",
        "stored answers: auto (use them, ask for the rest), only (never use the network), off (default: auto)",
    ),
)
INI_ONLY = (
    Setting(
        "isolation",
        "",
        "how child sessions are made: auto, fork, spawn, or strict (Linux: programs of any kind see the candidate)",
    ),
    Setting(
        "confirm",
        "",
        "how many of the frontier's best the confirm run judges, the winner first (default: 1, it alone)",
    ),
    Setting("shrink", "", "on or off: drop changes of the winner that no case needs (default: on)"),
    Setting(
        "joint",
        "",
        "on or off: ask a strong reflection model for all prompts to blame at once (default: off)",
    ),
    Setting("edits", "", "kinds of edit that the reflection model may make (default: all)"),
    Setting("cache_size", "", "most megabytes of stored answers; the oldest go first (default: 1000)"),
)


def asked_modes(options: argparse.Namespace) -> list[str]:
    """The modes that were asked for, the last of `MODES` first."""
    given = {mode.name: getattr(options, f"gepa_{mode.name.replace('-', '_')}", None) for mode in MODES}
    return [name for name in reversed(given) if given[name] not in (None, False)]


def mode_of(options: argparse.Namespace) -> str:
    """The mode that is to run, or to be planned: an optimization where a plan alone was asked for."""
    return next((mode for mode in asked_modes(options) if mode != "plan"), "optimize")
