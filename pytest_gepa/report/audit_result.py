"""The result of an audit as data: computed once, rendered elsewhere. Its JSON form is `audit.json`."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_gepa.own import OwnName
from pytest_gepa.report.result import Spent, Trouble


@dataclass(frozen=True, slots=True)
class PieceCoverage:
    """A piece of a prompt, or the whole of it: lines `first` to `last` of its text, counted from 1.

    `kind` is "whole prompt", "paragraph", "bullet", "numbered item", "fenced block", "field", "comment", "heading" or
    "element"; without the last two all that stands under them is gone too. `state` is "noticed": `cases` are worse
    without it; "unnoticed": none of `measured` cases is; "kept": it cannot be left out, for the `reason`; or "not
    measured", for the `reason`.
    """

    kind: OwnName
    first: int
    last: int
    state: OwnName
    cases: tuple[str, ...] = ()
    measured: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PromptCoverage:
    """What the cases notice of one prompt. `file_lines` has for each line of `text` its number in the file.

    `users` counts the cases that use the prompt, `able` those of them that could do worse than today. `whole` is None
    for a prompt that is not audited, for the `reason`.
    """

    component: OwnName
    path: OwnName
    text: str
    file_lines: tuple[int, ...]
    users: int
    able: int
    whole: PieceCoverage | None = None
    pieces: tuple[PieceCoverage, ...] = ()
    reason: str = ""

    @property
    def measured(self) -> tuple[PieceCoverage, ...]:
        """The pieces of which it is known whether a case notices them."""
        return tuple(piece for piece in self.pieces if piece.state in ("noticed", "unnoticed"))

    @property
    def noticed(self) -> tuple[PieceCoverage, ...]:
        """The pieces that at least one case notices."""
        return tuple(piece for piece in self.pieces if piece.state == "noticed")


@dataclass(frozen=True, slots=True)
class PassesAnyhow:
    """A case that passes with a prompt blanked that has a part in it.

    `prompts` are those prompts; `is_every` says that there is no prompt that it would miss.
    """

    case: str
    prompts: tuple[OwnName, ...]
    is_every: bool


@dataclass(frozen=True, slots=True)
class Contradicting:
    """Cases of one test with alike inputs, and what each of them expects."""

    cases: tuple[str, ...]
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flaky:
    """A case whose repetitions under today's prompts ended differently: how many passed, and the scores."""

    case: str
    passed: int
    trials: int
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SaysNothing:
    """A case whose failures have neither values nor words, and what pytest printed of one."""

    case: str
    printed: str


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Everything that a report says about an audit.

    `is_finished` is False for one that was interrupted. `failing` are the cases that score nothing today, so that they
    can notice nothing. `trials` is the number of runs of each case under today's prompts. `simulated` says that a model
    is a simulated one, by its name.
    """

    run: OwnName
    is_finished: bool
    cases: int
    passed: int
    trials: int
    prompts: tuple[PromptCoverage, ...] = ()
    anyhow: tuple[PassesAnyhow, ...] = ()
    contradictions: tuple[Contradicting, ...] = ()
    flaky: tuple[Flaky, ...] = ()
    says_nothing: tuple[SaysNothing, ...] = ()
    failing: tuple[str, ...] = ()
    trouble: tuple[Trouble, ...] = ()
    spent: Spent = field(default_factory=Spent)
    models: tuple[str, ...] = ()
    simulated: bool = False
    problems: tuple[str, ...] = ()

    @property
    def measured(self) -> int:
        """Pieces of all prompts of which it is known whether a case notices them."""
        return sum(len(prompt.measured) for prompt in self.prompts)

    @property
    def noticed(self) -> int:
        """Pieces of all prompts that at least one case notices."""
        return sum(len(prompt.noticed) for prompt in self.prompts)
