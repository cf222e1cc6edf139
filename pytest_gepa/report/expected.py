"""What a run may take, in calls, tokens and money, by what earlier runs have shown: the arithmetic of the plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pytest_gepa.cost.prices import NANO, PriceList, Tokens, usd
from pytest_gepa.report.rows import row
from pytest_gepa.run.plan import BudgetPlan, confirm_rollouts
from pytest_gepa.run.spending import CONFIRM_PART, MARGIN, reflection_reserve, trials_within
from pytest_gepa.settings import NO_MODEL, Settings
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import CaseUsage, ModelUsage, ReflectionUsage
from pytest_gepa.wording import count, dollars, mean_calls

UNKNOWN = "unknown before the first run: what a case takes has not been measured"


def expected_lines(
    settings: Settings,
    cases: Sequence[Case],
    model: str,
    budget: BudgetPlan,
    usage: Mapping[str, CaseUsage],
    reflection: ReflectionUsage | None,
    stored: str = "less what is stored",
    redact: Callable[[str], str] = str,
) -> list[str]:
    """Calls, tokens and price to expect, each with the figures that it is made from; `stored` says what of the calls is
    answered from the store, `redact` is made to the names of models to show them."""
    # What asks no model is never charged, so that no rollout of the budget is one of it.
    every = [usage[case.id] for case in cases if case.id in usage]
    known = [case for case in every if case.calls]
    calls = sum(case.calls for case in known)
    if not calls:
        return [row("price", UNKNOWN), *_cap_lines(settings, cases, model, budget, None)]
    each = len(known)
    into, out = sum(case.input_tokens for case in known), sum(case.output_tokens for case in known)
    share = budget.limit / each
    prices, lacking = PriceList(settings.prices), set[str]()
    lines = [
        row(
            "a rollout",
            f"{mean_calls(calls / each)}, {into / each:,.0f} tokens in, {out / each:,.0f} out, "
            f"{sum(case.seconds for case in known) / each:.2g} s, as before",
        ),
    ]
    rollout = 0.0
    for name, used in sorted(_by_model(known).items()):
        tokens = Tokens(**{name: round(getattr(used, name) / each) for name in Tokens._fields})
        paid = _price(prices, name, tokens, lacking)
        rollout += paid or 0.0
        lines.append(f"  {redact(name) or 'no name'}: {_product(prices, name, tokens, paid)}")
    lines.append(
        row(
            "all of the budget",
            f"{count(round(share * calls), 'call')}, {share * into:,.0f} tokens in, "
            f"{share * out:,.0f} out, "
            f"{stored}{'' if model == NO_MODEL else '; reflections apart'}",
        )
    )
    sums = [f"{count(budget.limit, 'rollout')} x {dollars(rollout)}"]
    total = budget.limit * rollout
    if model != NO_MODEL:
        found = _reflections(prices, model, budget, reflection, lacking, redact)
        lines.append(found[0])
        sums.append(found[1])
        total += found[2]
    if not any(used.calls for case in known for used in case.models.values()):
        lines.append(row("price", "unknown: the runs so far did not tell the tokens of each model"))
        return [*lines, *_cap_lines(settings, cases, model, budget, None)]
    if lacking:
        names = ", ".join(sorted(set(map(redact, lacking))))
        lines.append(row("price", f"unknown: no price for {names}; add it to gepa_prices"))
        return [*lines, *_cap_lines(settings, cases, model, budget, None)]
    lines.append(row("price", f"at most about {dollars(total)} = {' + '.join(sums)}"))
    return [*lines, *_cap_lines(settings, cases, model, budget, rollout * each / len(every))]


def _by_model(known: Sequence[CaseUsage]) -> dict[str, ModelUsage]:
    found: dict[str, ModelUsage] = {}
    for case in known:
        for name, used in case.models.items():
            found[name] = found.get(name, ModelUsage()) + used
    return found


def _price(prices: PriceList, model: str, tokens: Tokens, lacking: set[str]) -> float | None:
    """USD; None for a model without a price, which is noted."""
    tariff = prices.find(model)
    if tariff is None:
        lacking.add(model or "a model without a name")
        return None
    return tariff.price(tokens) / NANO


def _product(prices: PriceList, model: str, tokens: Tokens, paid: float | None) -> str:
    """What so many tokens come to, and how."""
    said = f"{tokens.input:,} tokens in, {tokens.output:,} out"
    tariff = prices.find(model)
    if tariff is None or paid is None:
        return f"{said}, price unknown"
    out = tariff.price(Tokens(output=tokens.output, output_audio=tokens.output_audio)) / NANO
    return f"{said}: {dollars(max(0.0, paid - out))} + {dollars(out)} = {dollars(paid)}"


def _reflections(
    prices: PriceList,
    model: str,
    budget: BudgetPlan,
    reflection: ReflectionUsage | None,
    lacking: set[str],
    redact: Callable[[str], str],
) -> tuple[str, str, float]:
    """The line on reflections, the term of the sum, and its value in USD."""
    if reflection is None or not reflection.replies:
        lacking.update(() if prices.find(model) else {model})
        return row("reflections", "unknown before the first run"), "reflections, not known yet", 0.0
    tokens = Tokens(
        round(reflection.input_tokens / reflection.replies),
        round(reflection.output_tokens / reflection.replies),
    )
    paid = _price(prices, model, tokens, lacking)
    ratio = reflection.replies / reflection.rollouts
    # The rollouts that were counted are those of the search and of its shrinking.
    replies = round(ratio * (budget.search + budget.shrink))
    said = _product(prices, model, tokens, paid)
    before = redact(reflection.model)  # a run has noted it so; what is a secret today may be another
    other = "" if redact(model) == before else f", as those of {before}"
    line = row(
        "reflections",
        f"at most about {replies:,} = {ratio:.2g} a rollout of the search, as before; each {said}{other}",
    )
    return line, f"{count(replies, 'reflection')} x {dollars(paid or 0.0)}", replies * (paid or 0.0)


def _cap_lines(
    settings: Settings, cases: Sequence[Case], model: str, budget: BudgetPlan, rollout: float | None
) -> list[str]:
    """The cap and the confirm run's share of it; `rollout` is the price of one in USD, None where it is not known."""
    cap = settings.max_cost
    if cap is None:
        return []
    if rollout is None:
        return [row("cap", f"{dollars(cap)}, {_kept('a share')}")]
    each = rollout

    def price(trials: int) -> float:
        return MARGIN * confirm_rollouts(cases, trials, budget.candidates) * each

    baseline = each * sum(case.split == "search" for case in cases)
    trials = trials_within(price, budget.trials, CONFIRM_PART * (cap - baseline))
    is_asked = model != NO_MODEL and settings.replay != "only"
    reserve = usd(reflection_reserve(PriceList(settings.prices), model)) if is_asked else 0.0
    if baseline + price(trials) + reserve >= cap:
        room = f"; a reflection needs room for up to {dollars(reserve)}" if reserve else ""
        return [
            row(
                "cap",
                f"{dollars(cap)}, which leaves nothing to search with: about {dollars(baseline)} for "
                f"the baseline and {dollars(price(trials))} for a confirm run of {count(trials, 'trial')} a side{room}",
            )
        ]
    fewer = f" ({count(trials, 'trial')} a side, more if the search leaves enough)" if trials < budget.trials else ""
    return [row("cap", f"{dollars(cap)}, {_kept(f'about {dollars(price(trials))}')}{fewer}")]


def _kept(share: str) -> str:
    return f"of which {share} is set aside for the confirm run when the baseline has been measured"
