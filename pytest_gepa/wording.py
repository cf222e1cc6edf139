"""Numbers and foreign text as words: the one place for how they look."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pytest_gepa.cost.prices import NANO
from pytest_gepa.cost.purse import dollars as in_words
from pytest_gepa.verdict.judge import Tally

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_COMMAND = re.compile(r"^(\s*)(?=::)|(?<=##)(?=\[|vso\[)", re.MULTILINE | re.IGNORECASE)
_BACKTICKS = re.compile("`+")


def printable(text: str) -> str:
    """Text of a model or a test without what could steer a terminal or turn the direction of writing."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def for_log(text: str) -> str:
    """Printable text of which no line is a command to what runs a job and reads what it prints: `::error::` and
    `##[error]` to GitHub's runner, `##vso[...]` to that of Azure."""
    return _COMMAND.sub(lambda match: f"{match[1] or ''}\\", printable(text))


def sentence(text: str) -> str:
    """A text of a model as a sentence that another one can follow."""
    text = text.rstrip()
    return text if not text or text[-1] in ".!?:;" else f"{text}."


def name_without_file(nodeid: str) -> str:
    """A nodeid without its file: `test_line[loss-in-parentheses]`."""
    name, bracket, parameters = nodeid.partition("[")
    return name.rsplit("::", 1)[-1] + bracket + parameters


def named_models(models: Mapping[str, Sequence[str]]) -> str:
    """The names of the models by their role: `task small-1 and small-2, reflection large`."""
    return ", ".join(f"{role} {' and '.join(names) or 'none named'}" for role, names in models.items())


def points(effect: float) -> str:
    """A difference of scores in percentage points: `+48 points`, and `+0.2 points` where it is less than one."""
    return f"{100 * effect:+.{1 if 0.0005 <= abs(effect) < 0.00995 else 0}f} points"


def p_words(p_value: float) -> str:
    """A p-value: `p < 0.001`, `p = 0.03`."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def passed(tally: Tally) -> str:
    """`12/31`, and the mean score where that says something else: `12/31 (score 0.62)`."""
    share = tally.passed / tally.total if tally.total else 0.0
    graded = f" (score {tally.score:.2f})" if abs(tally.score - share) >= 0.005 else ""
    return f"{tally.passed}/{tally.total}{graded}"


def dollars(usd: float) -> str:
    """`$1.18`; smaller sums with the digits that tell something: `$0.0031`."""
    return in_words(round(usd * NANO))


def duration(seconds: float) -> str:
    """`6 min 40 s`, `12.3 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


NAMED = 3


def some(names: Sequence[str], most: int = NAMED) -> str:
    """The first names of several, and how many more there are: `a, b, c and 4 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def interval_words(interval: tuple[float, float]) -> str:
    """`95 % interval +36 to +93`, in percentage points."""
    low, high = (100 * bound for bound in interval)
    return f"95 % interval {low:+.0f} to {high:+.0f}"


def joined(texts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def listed(texts: Sequence[str]) -> str:
    """Texts between backticks: "`a`, `b` and `c`"."""
    return joined(list(map(code, texts)))


def code(text: str) -> str:
    """A text between backticks: more of them than stand in it one after another, as Markdown wants it."""
    longest = max(map(len, _BACKTICKS.findall(text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{text}{space}{fence}"


def count(number: int, noun: str) -> str:
    """`1 case`, `2 cases`, `1 reply`, `2 replies`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


def mean_calls(number: float) -> str:
    """A mean number of calls, to three digits: `1 call`, `2.33 calls`."""
    shown = f"{number:.3g}"
    return "1 call" if shown == "1" else f"{shown} calls"


def at_a_time(concurrency: int) -> str:
    """How many cases run at once, in words."""
    return f"up to {concurrency} at a time" if concurrency > 1 else "one case at a time"
