"""Short ways to make the exhibits that the tests of this directory look at."""

from __future__ import annotations

from pytest_gepa.reflect.menu import KINDS, shrunken_menus
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Step, Trajectory

RULE, EXAMPLE = shrunken_menus(KINDS)

ROUTE = "prompts/route.md"
ROUTE_TEXT = "You route tickets of the Juniper desk to a queue.\nAnswer with the queue's name.\n"
REPLY_TEXT = "You write a kind reply to the customer.\n"
COMPONENTS = {ROUTE: ROUTE_TEXT, "prompts/reply.md": REPLY_TEXT}
SOURCE = "def test_route(ticket, queue):\n    assert route(ticket) == queue\n"
FAILURE = "\n".join(
    [
        "ticket = 'My card was charged twice', queue = 'billing'",
        "",
        '    @pytest.mark.parametrize("ticket, queue", CASES)',
        "    def test_route(ticket, queue):",
        ">       assert route(ticket) == queue",
        "E       AssertionError: assert 'Billing team' == 'billing'",
        "E         ",
        "E         - billing",
        "E         + Billing team",
        "",
        "tests/test_route.py:12: AssertionError",
    ]
)


def call(
    *request: Message | tuple[str, str],
    answer: str | Message | None = "Billing team",
    key: str = "k",
    tools: tuple[str, ...] = (),
    error: str = "",
    status: int | None = 200,
) -> Call:
    """One model call; messages as (role, content), the system message first."""
    messages = tuple(item if isinstance(item, Message) else Message(*item) for item in request)
    said = Message("assistant", answer) if isinstance(answer, str) else answer
    return Call(key, "model", messages, said, status=status, error=error, tools=tools)


def route_call(ticket: str = "My card was charged twice", answer: str = "Billing team") -> Call:
    """A call that sends the route prompt as system message."""
    return call(("system", ROUTE_TEXT), ("user", ticket), answer=answer)


def exhibit(
    *calls: Call,
    name: str = "double-charge",
    failure: str = FAILURE,
    source: str = SOURCE,
    parameters: tuple[tuple[str, str], ...] = (
        ("ticket", "'My card was charged twice'"),
        ("queue", "'billing'"),
    ),
    steps: tuple[Step, ...] = (),
    output: tuple[tuple[str, str], ...] = (),
    score: float = 0.0,
    feedback: str = "",
) -> Exhibit:
    """A failing rollout of one case (a passing one for score 1), with one call to the route prompt by default."""
    case = Case(
        f"tests/test_route.py::test_route#{name}",
        f"tests/test_route.py::test_route[{name}]",
        source,
        parameters,
    )
    outcome = Outcome.passed if score == 1 else Outcome.failed
    trajectory = Trajectory(calls or (route_call(),), steps, output, failure)
    return Exhibit(case, Rollout("c", case.id, "search/0", outcome, score, trajectory, feedback))


def passing(name: str = "lost-parcel") -> Exhibit:
    """A passing rollout."""
    return exhibit(route_call("Where is my parcel?", "shipping"), name=name, failure="", score=1.0)
