"""How often a real model's proposals are valid, and how often they help, under the full menu and the shrunken one.

    python benchmarks/real_model/menus.py --base-url http://127.0.0.1:8103/v1 [--model local] [--number 20]

Each menu is asked for so many proposals for the seed prompt of `dates/`, each on a minibatch of failing cases of its
own, with the requests, the reading of replies and the guards of the plugin; a refused reply is asked for once more.
Under the shrunken menu the choice between rules and examples is the plugin's too. A valid proposal is then tried on
its minibatch. The same model is task model (temperature 0) and reflection model (as its server samples).
"""

from __future__ import annotations

import argparse
import importlib.util
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from openai import OpenAI

from pytest_gepa.prompts.guards import Guard, kind_of
from pytest_gepa.prompts.leaks import CaseText, Leaks, case_values
from pytest_gepa.reflect.menu import FULL, MenuChoice, ReplyOutcome
from pytest_gepa.reflect.model import ReflectionEndpoint, ReflectionModel
from pytest_gepa.reflect.propose import EvidenceBudget, ProposedEdit, propose
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.case_source import function_source
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

DATES = Path(__file__).parent / "dates"
COMPONENT = "prompts/date.md"
SEED = (DATES / COMPONENT).read_text(encoding="utf-8")


@dataclass
class Tally:
    """What came of the proposals under one menu."""

    asked: int = 0
    valid_at_once: int = 0
    valid: int = 0
    improving: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def line(self, name: str) -> str:
        reasons = ", ".join(f"{reason} {times}" for reason, times in self.refused.most_common()) or "none"
        menus = ", ".join(f"{kind} {times}" for kind, times in self.kinds.most_common())
        return (
            f"{name:<9} | {self.asked} asked ({menus}) | valid at once {self.valid_at_once}, after being told "
            f"{self.valid} | improve their minibatch {self.improving} | refused: {reasons}"
        )


@cache
def module() -> object:
    """The test module of `dates/`, without running it: its cases are a list."""
    import sys

    sys.path[:0] = [str(DATES)]
    spec = importlib.util.spec_from_file_location("test_dates", DATES / "tests" / "test_dates.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


class Desk:
    """The dates task on one server."""

    def __init__(self, client: OpenAI, model: str) -> None:
        self._client = client
        self._model = model
        self._answers: dict[tuple[str, str], str] = {}
        source = function_source(module().test_date_is_in_iso_form)  # type: ignore[attr-defined]
        self.cases = [
            Case(
                f"test_dates.py::test_date[{at}]",
                f"test_dates.py::test_date[{text}-{date}]",
                source,
                parameters,
            )
            for at, (text, date) in enumerate(module().SEARCH)  # type: ignore[attr-defined]
            for parameters in [(("text", repr(text)), ("expected", repr(date)))]
        ]
        self._given = dict(zip((case.id for case in self.cases), module().SEARCH, strict=True))  # type: ignore[attr-defined]

    def run(self, prompt: str, case: Case) -> Exhibit:
        text, expected = self._given[case.id]
        answer = self._answer(prompt, text)
        messages = (Message("system", prompt), Message("user", text))
        call = Call("", self._model, messages, Message("assistant", answer))
        passed = answer == expected
        failure = (
            f">       assert answer == expected\n"
            f"E       AssertionError: expected exactly {expected!r}, the answer was {answer!r}\n\n"
            "tests/test_dates.py:29: AssertionError"
        )
        outcome = Outcome.passed if passed else Outcome.failed
        trajectory = Trajectory((call,), failure="" if passed else failure)
        return Exhibit(case, Rollout("c", case.id, "search/0", outcome, float(passed), trajectory))

    def _answer(self, prompt: str, text: str) -> str:
        if (prompt, text) not in self._answers:
            reply = self._client.chat.completions.create(
                model=self._model,
                temperature=0,
                max_tokens=40,
                messages=[{"role": "system", "content": prompt}, {"role": "user", "content": text}],
            )
            self._answers[prompt, text] = (reply.choices[0].message.content or "").strip()
        return self._answers[prompt, text]

    def guard(self) -> Guard:
        strings = [CaseText(case.id, case_values(case.parameters, case.source)) for case in self.cases]
        guard = Guard({COMPONENT: SEED}, Leaks(strings, [SEED]))
        guard.learn({name: [text] for name, (text, _) in self._given.items()})
        return guard


def ask(
    desk: Desk,
    model: ReflectionModel,
    guard: Guard,
    choice: MenuChoice,
    seed: int,
    size: int,
    *,
    tells_expected: bool,
) -> ProposedEdit:
    failing = [exhibit for case in desk.cases if (exhibit := desk.run(SEED, case)).rollout.score != 1]
    chosen = random.Random(seed).sample(failing, min(size, len(failing)))
    if tells_expected:
        pairs = [guard.pair(one.case.id) for one in chosen]
        chosen = [replace(one, expected=pair[1]) if pair else one for one, pair in zip(chosen, pairs, strict=True)]
    return propose(
        COMPONENT,
        SEED,
        guard,
        failing=chosen,
        neighbours=[],
        discarded=[],
        components={COMPONENT: SEED},
        model=model,
        menu=choice.menu,
        budget=EvidenceBudget(),
    )


def measure(desk: Desk, model: ReflectionModel, args: argparse.Namespace, start: str) -> Tally:
    """Ask for proposals; the choice among the shrunken menus goes on as in a search, and never leaves them."""
    tally, guard = Tally(), desk.guard()
    choice = MenuChoice(start)  # type: ignore[arg-type]
    for number in range(args.number):
        proposal = ask(desk, model, guard, choice, number, args.minibatch, tells_expected=not args.without_expected)
        tally.asked += 1
        tally.kinds[choice.current] += 1
        tally.refused.update(map(kind_of, proposal.rejections))
        outcome: ReplyOutcome = "invalid"
        if proposal.text is None and not proposal.rejections:
            tally.refused["no edit"] += 1
        if proposal.text is not None:
            tally.valid += 1
            tally.valid_at_once += not proposal.rejections
            failing = random.Random(number).sample(
                [case for case in desk.cases if desk.run(SEED, case).rollout.score != 1], args.minibatch
            )
            gained = any(
                desk.run(proposal.text, case).rollout.score == 1 for case in failing if _counts(case, proposal)
            )
            tally.improving += gained
            outcome = "gain" if gained else "no gain"
        if args.verbose:
            print(
                f"--- {start} {number} ({choice.current}): {outcome}; {list(proposal.rejections)}\n{proposal.summary}"
            )
        if choice.menu is not FULL:
            choice = choice.record(choice.current, outcome)
            choice = choice if choice.menu is not FULL else MenuChoice(start)  # type: ignore[arg-type]
    return tally


def _counts(case: Case, proposal: ProposedEdit) -> bool:
    return case.id not in {example.case for example in proposal.examples}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", default="local")
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--minibatch", type=int, default=4)
    parser.add_argument("--menus", nargs="+", default=["full", "rule"], help="where each choice starts")
    parser.add_argument("--without-expected", action="store_true", help="do not tell the expected answers")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    client = OpenAI(base_url=args.base_url, api_key="none", timeout=600)
    desk = Desk(client, args.model)
    model = ReflectionModel(ReflectionEndpoint(args.model, args.base_url, "none"))
    passing = sum(desk.run(SEED, case).rollout.score == 1 for case in desk.cases)
    print(f"{args.model}, seed prompt {SEED.strip()!r}: {passing} of {len(desk.cases)} cases pass", flush=True)
    for start in args.menus:
        name = "full" if start == "full" else "shrunken" if start == "rule" else start
        print(measure(desk, model, args, start).line(name), flush=True)
    model.close()


if __name__ == "__main__":
    main()
