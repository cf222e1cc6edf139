"""Results of checks, built field by field."""

from __future__ import annotations

from pytest_gepa.report.check_result import CaseCheck, CheckResult, Side
from pytest_gepa.report.result import Spent, Trouble
from pytest_gepa.run.base_prompts import PromptChange

ROUTE = "prompts/route.md"
TONE = "app/prompts.yaml::reply.tone"

DIFF = """\
--- prompts/route.md
+++ prompts/route.md
@@ -3,5 +3,4 @@
 Answer with one label in capitals and nothing else.
-- A damaged parcel is REFUND when the customer asks for money, else REPLACE.
-- A question about an invoice is BILLING, in any language.
+- A damaged parcel is REPLACE.
 - Anything else is OTHER.
"""

FAILURE = """\
    def test_route(message, expected):
>       assert route(message) == expected
E       AssertionError: assert 'REPLACE' == 'REFUND'
E         - REFUND
E         + REPLACE

tests/test_route.py:31: AssertionError"""


def change(**fields: object) -> PromptChange:
    usual: dict[str, object] = {
        "component": ROUTE,
        "path": ROUTE,
        "state": "edited",
        "diff": DIFF,
        "lines": (4,),
    }
    return PromptChange(**{**usual, **fields})  # type: ignore[arg-type]


def side(passed: int, trials: int, answer: str = "", failure: str = "") -> Side:
    return Side(trials, passed, passed / trials if trials else None, answer, failure)


def case(name: str, tier: str, base: Side, today: Side, p_value: float = 1.0, **fields: object) -> CaseCheck:
    usual: dict[str, object] = {"components": (ROUTE,), **fields}
    return CaseCheck(f"tests/test_route.py::{name}", tier, base, today, p_value, **usual)  # type: ignore[arg-type]


def regressed(name: str = "test_route[damaged, money back]") -> CaseCheck:
    return case(name, "regressed", side(8, 8, "REFUND"), side(0, 8, "REPLACE", FAILURE), 0.0013)


def result(**fields: object) -> CheckResult:
    """A check that failed, with the changes."""
    usual: dict[str, object] = {
        "run": "2026-01-31-1",
        "verdict": "regressed",
        "reason": "1 case is proven worse under today's prompts",
        "base": "3f2c1ab",
        "revision": "main",
        "changes": (change(),),
        "cases": (
            case("test_route[thanks]", "stable", side(2, 2), side(2, 2)),
            regressed(),
            case(
                "test_route[invoice in Spanish]",
                "suspect",
                side(8, 8, "BILLING"),
                side(5, 8, "OTHER", "E   AssertionError: 'OTHER' == 'BILLING'"),
                0.31,
            ),
            case("test_route[two wishes]", "flaky", side(9, 16), side(8, 16)),
            case("test_route[sarcasm]", "failing", side(0, 2), side(0, 2)),
            case("test_route[parcel dented]", "improved", side(1, 12), side(12, 12), 0.0004),
            case("test_route[slow]", "trouble", side(2, 2), side(0, 0)),
        ),
        "effect": -0.12,
        "interval": (-0.31, 0.06),
        "p_value": 0.02,
        "untouched": 11,
        "failed": True,
        "broken_rules": ("--gepa-fail-on=regressed",),
        "trouble": (Trouble("tests/test_route.py::test_route[slow]", "timeout", "no answer within 120 s"),),
        "spent": Spent(rollouts=97, cached=4, input_tokens=81_204, output_tokens=2_310, usd=0.0192, seconds=74.2),
        "models": {"task": ("gpt-5-mini",)},
        "command": "pytest --gepa-optimize --gepa-from-check=2026-01-31-1 "
        "'tests/test_route.py::test_route[damaged, money back]'",
        **fields,
    }
    return CheckResult(**usual)  # type: ignore[arg-type]
