"""What can be set: modes, options and ini keys, as data. Loaded with every pytest session."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Setting(NamedTuple):
    """One setting: an option `--gepa-<name>` and, unless it is a mode, an ini key `gepa_<name>`.

    A `list` may be given several times, and has one a line in the ini file; a `flag` takes no value on the command
    line, and on or off in the ini file. A mode with a `metavar` may have a value, behind `=` only; those of `BASELINES`
    must have one, as any option.
    """

    name: str
    metavar: str
    help: str
    kind: Literal["text", "list", "flag"] = "text"

    @property
    def key(self) -> str:
        """The ini key; options are kept under the same name."""
        return f"gepa_{self.name.replace('-', '_')}"


class BehindEqualsSign(argparse.Action):
    """An option with a value behind `=`, or none: with `nargs="?"` argparse would take the next word for it.

    To argparse each spelling, `--gepa-check` and `--gepa-check=main`, is an option of its own without a value.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None, **_: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=None, help=help)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Note the value, "" where there is none."""
        setattr(namespace, self.dest, (option_string or "").partition("=")[2])


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
        "flag",
    ),
    Setting(
        "check",
        "REV",
        "--gepa-check[=REV]: is any case worse than under the prompts of REV (default: where this branch left the "
        "one that it goes into)? Exits with 1 on a regression",
    ),
    Setting(
        "resume",
        "RUN",
        "--gepa-resume[=RUN]: go on with an optimization that was cut off (default: the newest); what was paid for is "
        "not paid for again",
    ),
    Setting(
        "audit",
        "",
        "find out how much of each prompt the cases notice, by leaving out a piece at a time",
        "flag",
    ),
    *BASELINES,
    Setting(
        "plan",
        "",
        "print what --gepa-optimize (or --gepa-audit, --gepa-baseline, --gepa-save-baseline) would run, and spend "
        "nothing",
        "flag",
    ),
)
SETTINGS = (
    Setting(
        "prompts",
        "GLOB",
        "prompts to improve: globs of files, or file::place for a text inside one; may be repeated, in the ini file "
        "one a line (default: prompts/**/* with the usual suffixes)",
        "list",
    ),
    Setting(
        "reflection-model",
        "NAME",
        "model that reads failures and edits prompts, or none (also GEPA_REFLECTION_MODEL)",
    ),
    Setting(
        "budget",
        "ROLLOUTS",
        "most rollouts to pay for, all phases together (default: 20 x search cases + repeats + confirm; "
        "--gepa-audit: its longest course)",
    ),
    Setting("max-cost", "USD", "most that the run may cost, all calls together, never passed (default: no cap)"),
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
        "--gepa-baseline the most on either side, with --gepa-save-baseline those that are saved (default: 32); with "
        "--gepa-audit those of its first step (default: 2)",
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
        "fail-on-trouble",
        "",
        "--gepa-check, --gepa-baseline: exit with 1 also when a case gave no evidence (an error, a timeout); in the "
        "ini file on or off (default: off)",
        "flag",
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
    Setting("redact", "", "regular expressions of secrets that no file and no model may see, one a line", "list"),
    Setting(
        "prices",
        "",
        "prices of models, one a line: gpt-5 input=1.25 output=10 cached=0.125 max_output=128000 (USD per million)",
        "list",
    ),
    Setting(
        "isolation",
        "",
        "how child sessions are made: auto, fork, spawn, or strict (Linux: programs of any kind see the candidate; "
        "default: auto, which is fork on Linux, else spawn)",
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
    Setting(
        "reflection_timeout",
        "",
        "seconds that the reflection model may take for one reply (default: 600)",
    ),
    Setting("edits", "", "kinds of edit that the reflection model may make (default: all)"),
    Setting("cache_size", "", "most megabytes of stored answers; the oldest go first (default: 1000)"),
)


def asked_modes(options: argparse.Namespace) -> list[str]:
    """The modes that were asked for, the last of `MODES` first."""
    given = {mode.name: getattr(options, mode.key, None) for mode in MODES}
    return [name for name in reversed(given) if given[name] not in (None, False)]


def mode_of(options: argparse.Namespace) -> str:
    """The mode that is to run, or to be planned: an optimization where a plan alone was asked for."""
    return next((mode for mode in asked_modes(options) if mode != "plan"), "optimize")
