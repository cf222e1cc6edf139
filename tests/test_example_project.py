"""The example project: its cases, its offline model, and whether evidence alone improves its prompts."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai import NotFoundError, OpenAI

from pytest_gepa.prompts.edits import Edit, apply_edits
from pytest_gepa.prompts.guards import text_problems
from pytest_gepa.reflect.menu import FULL
from pytest_gepa.reflect.request import build_request
from tests.example_desk import (
    CASES,
    CONFLICTS,
    EXAMPLE,
    ROOT,
    SEED,
    STAGES,
    Climber,
    chat,
    conventions,
    exhibit,
    line,
    mistakes,
    oracle,
    passed,
    pipeline,
    reading,
    reflect,
    reflection_request,
    response_format,
    run_all,
    run_case,
    runs_of,
    server,
    spread,
    statements,
    with_rule,
)
from tests.reflect.exhibits import RULE

# The cases and the prompts


def test_there_are_about_forty_cases_with_names_of_their_own():
    assert 40 <= len(CASES) <= 44
    assert len({case.id for case in CASES}) == len(CASES)


def test_the_first_drafts_pass_some_cases_and_fail_most():
    assert len(passed(SEED)) >= 8
    assert 0.30 <= len(passed(SEED)) / len(CASES) <= 0.45


def test_prompts_that_state_every_convention_pass_every_case():
    assert passed(oracle()) == {case.id for case in CASES}


def test_every_prompt_must_change():
    for stage in STAGES:
        assert len(passed({**oracle(), stage: SEED[stage]})) < 0.9 * len(CASES)


def test_the_best_prompts_stay_within_the_growth_that_an_edit_may_have():
    for stage, text in oracle().items():
        assert not list(text_problems(SEED[stage], SEED[stage], text))
        assert statements.attended(text) == text


def test_nobody_copied_a_case_into_a_wording():
    numbers = {digits for case in CASES for digits in re.findall(r"\d[\d.,]{3,}\d", case.excerpt)}
    every = (*conventions.CONVENTIONS, *mistakes.MISTAKES)
    wordings = " ".join(text for each in every for text in (*each.wordings, *each.careful_wordings))
    assert not {digits for digits in numbers if digits in wordings}
    assert not {case.expected.entity for case in CASES if case.expected.entity in wordings}


# What the desk model makes of a prompt


@pytest.mark.parametrize("key", [convention.key for convention in conventions.CONVENTIONS])
def test_without_any_one_convention_some_case_fails(key):
    assert passed(oracle(without=key)) < passed(oracle())


@pytest.mark.parametrize("convention", CONFLICTS, ids=lambda convention: convention.key)
def test_an_unconditional_wording_helps_some_cases_and_hurts_others(convention):
    without, plain = passed(oracle(without=convention.key)), passed(oracle(plain=convention.key))
    assert plain - without
    assert without - plain


@pytest.mark.parametrize("mistake", mistakes.MISTAKES, ids=lambda mistake: mistake.key)
def test_a_wrong_lesson_breaks_cases(mistake):
    assert passed(with_rule(oracle(), mistake.stage, mistake.wordings[0])) < passed(oracle())


def wordings() -> Iterator[Any]:
    for each in (*conventions.CONVENTIONS, *mistakes.MISTAKES):
        for form, texts in (("plain", each.wordings), ("careful", each.careful_wordings)):
            for number, text in enumerate(texts):
                yield pytest.param(each, form, text, id=f"{each.key}-{form}-{number}")


@pytest.mark.parametrize(("convention", "form", "text"), list(wordings()))
def test_a_wording_states_its_convention_and_nothing_else(convention, form, text):
    for stage in STAGES:
        expected = {convention.key: form} if stage == convention.stage else {}
        in_a_list = reading.stated(f"Answer.\n\n- {text}\n", stage)
        assert {key: in_a_list[key] for key in in_a_list if stage == convention.stage} == expected


@pytest.mark.parametrize(
    ("stage", "text", "key", "form"),
    [
        ("normalise", "Treat amounts in brackets as negative numbers.", "parentheses", "plain"),
        (
            "normalise",
            "Brackets mean a minus sign, unless the line is a cost or an expense: those stay positive.",
            "parentheses",
            "careful",
        ),
        ("normalise", "If the caption says in thousands, multiply the number by 1,000.", "scale", "plain"),
        ("normalise", "When guidance is a range, use the mean of both ends.", "range", "plain"),
        ("normalise", "Dates with slashes have the day before the month.", "dates", "plain"),
        ("extract", "Prefer GAAP numbers over non-GAAP or adjusted ones.", "reported", "plain"),
        ("extract", "The number in the Note column is not an amount.", "notes", "plain"),
        ("classify", "Forecasts and outlook statements count as guidance.", "guidance", "plain"),
        (
            "classify",
            "Use the parent for consolidated figures, and name the subsidiary for its separate accounts.",
            "entity",
            "careful",
        ),
    ],
)
def test_a_paraphrase_states_the_convention_too(stage, text, key, form):
    assert reading.stated(text, stage) == {key: form}


@pytest.mark.parametrize(
    "text",
    [
        "Figures in brackets are not negative.",
        "Read the excerpt with care.",
        "Dates matter.",
        "Check the heading before you answer.",
    ],
)
def test_other_sentences_state_nothing(text):
    assert not any(reading.stated(text, stage) for stage in STAGES)


def test_of_two_statements_that_contradict_each_other_the_later_one_stands():
    plain, careful = CONFLICTS[-1].wordings[0], CONFLICTS[-1].careful_wordings[0]
    stage, key = CONFLICTS[-1].stage, CONFLICTS[-1].key
    assert reading.stated(f"- {plain}\n- {careful}\n", stage) == {key: "careful"}
    assert reading.stated(f"- {careful}\n- {plain}\n", stage) == {key: "plain"}


def test_an_over_long_prompt_loses_what_stands_at_its_end():
    padding = "Keep in mind that our readers value careful work, plain words and tables that add up. " * 25
    long = {stage: f"{padding}\n{text}" for stage, text in oracle().items()}
    assert len(passed(long)) < len(passed(oracle()))


def test_a_prompt_that_no_longer_asks_for_json_or_for_a_field_fails():
    assert not passed({**oracle(), "normalise": "Turn the figure into a line."})
    assert not passed(
        {
            **oracle(),
            "classify": oracle()["classify"].replace('"entity"', '"company"').replace("entity", "company"),
        }
    )


UNSEEN = [
    (
        "Cost of sales",
        "Quillon Foods plc, income statement (£m)\nYear ended 30 April     Note     2021     2022\n"
        "Cost of sales              5    (77.1)   (81.4)",
        line.SpreadLine("Quillon Foods plc", "actual", 81_400_000, "GBP", "FY2022"),
    ),
    (
        "Net income",
        "Dakotah Freight, Inc., Form 10-K, year ended December 31, 2021 (in thousands)\n"
        "Net loss                $ (3,310)",
        line.SpreadLine("Dakotah Freight, Inc.", "actual", -3_310_000, "USD", "FY2021"),
    ),
    (
        "Revenue",
        "Tamsin Cable plc expects revenue between £70 million and £90 million in the full year 2023.",
        line.SpreadLine("Tamsin Cable plc", "guidance", 80_000_000, "GBP", "FY2023"),
    ),
    (
        "Total assets",
        "Birk Eiendom AS. Total assets at 07/09/2021 were NOK 512 million.",
        line.SpreadLine("Birk Eiendom AS", "actual", 512_000_000, "NOK", "2021-09-07"),
    ),
    (
        "Revenue",
        "Our fiscal year ends on 31 March. In the fourth quarter of fiscal 2022 Sorrel Media AG had "
        "preliminary revenue of €6.5 million in print and total revenue of €17.25 million.",
        line.SpreadLine("Sorrel Media AG", "preliminary", 17_250_000, "EUR", "2022-Q1"),
    ),
]


@pytest.mark.parametrize(("item", "excerpt", "expected"), UNSEEN)
def test_an_excerpt_that_is_in_no_case_is_read_by_the_same_conventions(item, excerpt, expected):
    assert line.reconcile(spread(oracle(), item, excerpt), expected) == ""
    assert line.reconcile(spread(SEED, item, excerpt), expected) != ""


def test_another_name_or_another_number_in_an_excerpt_gives_another_line():
    for case in CASES:
        name = case.expected.entity.split()[0]
        figure = json.loads(run_case(oracle(), case).calls[1][2])["figure"]
        last = re.findall(r"\d", figure)[-1]
        head, _, tail = figure.rpartition(last)
        other = f"{head}{(int(last) + 1) % 10}{tail}"
        printed = r"\s+".join(map(re.escape, figure.split()))
        excerpt = re.sub(printed, other, case.excerpt).replace(name, "Zephyrine")
        got = spread(oracle(), case.item, excerpt)
        assert got.value != case.expected.value
        assert replace(got, value=case.expected.value) == replace(
            case.expected, entity=case.expected.entity.replace(name, "Zephyrine")
        )


def test_the_desk_sees_neither_the_name_of_a_case_nor_its_note_nor_the_expected_line():
    for case in CASES:
        renamed = replace(case, id="x", why="y", expected=line.SpreadLine("a", "b", 0, "c", "d"))
        assert run_case(SEED, renamed).calls == run_case(SEED, case).calls
        assert not any(case.why in text or case.id in text for call in run_case(SEED, case).calls for text in call)


def test_the_offline_model_knows_no_case():
    code = "".join(path.read_text(encoding="utf-8") for path in (EXAMPLE / "offline_model").glob("*.py"))
    for case in CASES:
        assert case.id not in code
        assert case.why not in code
        assert case.expected.entity.split()[0] not in code
        assert f"{case.expected.value:.0f}" not in code or case.expected.value < 10


def test_the_desk_knows_nothing_of_pytest_gepa():
    for path in [*(EXAMPLE / "desk").glob("*.py"), *(EXAMPLE / "tests").glob("*.py")]:
        assert "gepa" not in path.read_text(encoding="utf-8")


# The reflector


@pytest.fixture(scope="module")
def offline() -> Iterator[Any]:
    running = server.OfflineServer()
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(offline: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=offline.url, api_key="offline") as client:
        yield client


@pytest.mark.thorough
def test_hill_climbing_over_http_reaches_nine_cases_in_ten(client):
    climber = Climber(client)
    best = climber.climb(seed=1, iterations=12)
    assert len(passed(best)) >= 0.9 * len(CASES)
    assert len(climber.accepted) >= 3
    first_above = next(index for index, count in enumerate(climber.accepted) if count >= 0.9 * len(CASES))
    assert first_above >= 2
    assert all(best[stage] != SEED[stage] for stage in STAGES)


@pytest.mark.thorough
def test_with_blank_failures_nothing_is_gained(client):
    climber = Climber(client)
    assert climber.climb(seed=1, iterations=4, tell=lambda run: replace(run, failure="")) == SEED
    assert climber.rejected == 4


def test_a_reflection_finds_only_a_few_problems():
    failing = [run for run in run_all(SEED).values() if run.failure]
    for stage in STAGES:
        edits = json.loads(reflect(reflection_request(stage, SEED, failing)))["edits"]
        new = apply_edits(SEED[stage], [Edit(**edit) for edit in edits])
        assert 1 <= len(reading.stated(new, stage)) - len(reading.stated(SEED[stage], stage)) <= 3


def test_another_request_may_get_another_reply():
    failing = [run for run in run_all(SEED).values() if run.failure]
    text = reflection_request("normalise", SEED, failing)
    assert len({reflect(f"{text}\nThis is proposal {number}.\n") for number in range(10)}) > 1


def test_a_prompt_that_is_not_to_blame_is_left_alone():
    failing = runs_of(SEED, "full-year-outlook", "note-reference")
    reply = json.loads(reflect(reflection_request("normalise", SEED, failing)))
    assert reply["edits"] == []
    causes = [diagnosis["cause"] for diagnosis in reply["diagnoses"]]
    assert "not to blame" in causes[0]
    assert "already the wrong one" in causes[1]


def many_replies(stage: str, prompts: Mapping[str, str], *names: str) -> list[str]:
    text = reflection_request(stage, prompts, runs_of(prompts, *names))
    replies = [json.loads(reflect(f"{text}\nThis is proposal {number}.\n")) for number in range(40)]
    return [edit["text"] for reply in replies for edit in reply["edits"]]


def test_a_convention_is_proposed_only_where_a_case_shows_it():
    texts = many_replies("normalise", SEED, "loss-in-parentheses")
    keys = {key for text in texts for key in reading.stated_by(text, "normalise")}
    assert "parentheses" in keys
    assert keys <= {"parentheses", *(mistake.key for mistake in mistakes.MISTAKES)}


def test_cases_that_an_unconditional_rule_hurts_get_it_reconciled():
    prompts = oracle(plain="parentheses")
    texts = many_replies("normalise", prompts, "capex-in-parentheses")
    forms = {form for text in texts for form in reading.stated_by(text, "normalise").values()}
    assert forms == {"careful"}


def test_a_wrong_lesson_is_taken_out_again_when_a_case_shows_its_harm():
    mistake = next(each for each in mistakes.MISTAKES if each.key == "every unaudited")
    prompts = with_rule(oracle(), "classify", mistake.wordings[0])
    text = reflection_request("classify", prompts, runs_of(prompts, "ahead-of-expectations"))
    replies = [json.loads(reflect(f"{text}\nThis is proposal {number}.\n")) for number in range(10)]
    mended = [
        {**prompts, "classify": apply_edits(prompts["classify"], [Edit(**edit) for edit in reply["edits"]])}
        for reply in replies
        if any(edit["kind"] == "delete" for edit in reply["edits"])
    ]
    assert mended
    assert all(passed(each) == passed(oracle()) for each in mended)


def test_some_proposals_are_wrong_and_most_are_not():
    failing = [run for run in run_all(SEED).values() if run.failure]
    wrong = {mistake.key for mistake in mistakes.MISTAKES}
    found: list[str] = []
    for number in range(75):
        stage = STAGES[number % 3]
        shown = random.Random(number).sample(failing, 6)
        for edit in json.loads(reflect(reflection_request(stage, SEED, shown)))["edits"]:
            found += [key for key in reading.stated(edit["text"], stage) if key != "currency"]
    share = sum(key in wrong for key in found) / len(found)
    assert 0.05 <= share <= 0.15


def test_the_rule_menu_gets_one_rule_and_no_schema_gets_the_whole_text():
    failing = runs_of(SEED, "loss-in-parentheses", "operating-loss-in-words", "filing-in-thousands", "decimal-comma")
    text = reflection_request("normalise", SEED, failing)
    reply = json.loads(reflect(text, RULE.schema))
    assert set(reply) == {"diagnosis", "rule"}
    assert reading.stated_by(reply["rule"], "normalise")
    whole = reflect(text, None)
    assert whole.count("```") == 2
    new, old = set(whole.split("```\n")[1].splitlines()), set(SEED["normalise"].splitlines())
    assert new - old
    assert len(old - new) <= 1  # a line may get lost in a rewrite


@pytest.mark.parametrize("menu", [FULL, RULE], ids=lambda menu: menu.name)
@pytest.mark.parametrize(
    ("stage", "key", "case"),
    [
        ("classify", "guidance", "full-year-outlook"),
        ("extract", "notes", "note-reference"),
        ("normalise", "loss", "operating-loss-in-words"),
    ],
)
def test_the_reflector_reads_the_requests_of_pytest_gepa(menu, stage, key, case):
    components = {f"prompts/{name}.md": text for name, text in SEED.items()}
    failing = [exhibit(run) for run in runs_of(SEED, case)]
    neighbours = [exhibit(run) for run in runs_of(SEED, "plain-annual-result")]
    proposed: set[str] = set()
    for attempt in range(8):
        messages = build_request(
            f"prompts/{stage}.md", SEED[stage], failing, neighbours, [], menu, components, attempt=attempt
        )
        request = {
            "model": chat.REFLECTION_MODEL,
            "messages": messages,
            "response_format": response_format(menu.schema),
        }
        reply = json.loads(chat.complete(request)["choices"][0]["message"]["content"])
        texts = [edit["text"] for edit in reply["edits"]] if menu is FULL else [reply["rule"]]
        proposed |= {found for text in texts for found in reading.stated_by(text, stage)}
    assert key in proposed


# The server and the project as a pytest project


def test_the_server_lists_its_models_and_refuses_others(client):
    assert [model.id for model in client.models.list()] == [chat.DESK_MODEL, chat.REFLECTION_MODEL]
    with pytest.raises(NotFoundError, match="the offline models are simulated-desk, simulated-reflector"):
        client.chat.completions.create(model="gpt-4.1-mini", messages=[])


def test_the_server_counts_tokens_in_and_out(client):
    messages = [{"role": "system", "content": SEED["classify"]}, {"role": "user", "content": "Hello"}]
    usage = client.chat.completions.create(model=chat.DESK_MODEL, messages=messages).usage
    assert usage.prompt_tokens > len(SEED["classify"]) / 5
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def environment(**more: str) -> dict[str, str]:
    own = ("OPENAI_", "DESK_", "GEPA_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **more}


def run_python(arguments: Sequence[str], where: Path, env: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=where,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


OFFLINE_HEADER = "desk: offline simulated model (no other is named): numbers say nothing about real models"
WATCHED = """
import os, pytest
before = dict(os.environ)
pytest.main(["example_project", "-p", "no:cacheprovider", "--tb=short"])
print("changed:", sorted(set(before.items()) ^ set(os.environ.items())))
"""


def test_from_the_repository_the_suite_runs_offline_and_leaves_the_environment_as_it_was():
    output = run_python(["-c", WATCHED], ROOT, environment())
    assert OFFLINE_HEADER in output
    assert f"{len(CASES) - len(passed(SEED))} failed, {len(passed(SEED))} passed" in output
    assert "Investing cash flow, Corrin Shipping AS: 1 of 5 fields differ" in output
    assert "value: expected -9430000, got 17" in output
    assert "checker's note: cash went out; 17 is the number of a note" in output
    assert "changed: []" in output


def test_a_child_process_inside_the_project_uses_the_server_of_its_parent(offline):
    served = offline.served
    env = environment(
        OPENAI_BASE_URL=offline.url, OPENAI_API_KEY="offline", DESK_MODEL=chat.DESK_MODEL, DESK_OFFLINE="1"
    )
    arguments = ["-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "-k", "test_line_names and plain"]
    output = run_python(arguments, EXAMPLE, env)
    assert OFFLINE_HEADER in output
    assert "1 passed" in output
    assert offline.served == served + 3


def test_a_server_that_wants_no_key_needs_none(offline, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", offline.url)
    monkeypatch.setenv("DESK_MODEL", chat.DESK_MODEL)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    desk = pipeline.Desk.from_environment()
    with desk.client:
        case = next(case for case in CASES if case.id == "plain-annual-result")
        assert desk.spread(case.item, case.excerpt) == case.expected


def test_with_a_model_of_one_s_own_no_server_is_started():
    arguments = ["-m", "pytest", "--collect-only", "-p", "no:cacheprovider"]
    output = run_python(arguments, EXAMPLE, environment(OPENAI_API_KEY="a-key", DESK_MODEL="some-model"))
    assert "desk: model some-model" in output
    assert "offline" not in output.partition("collected")[0]


def test_a_key_that_is_there_for_other_work_is_not_used():
    others = {
        "OPENAI_API_KEY": "a-key",
        "GEPA_REFLECTION_MODEL": "some-model",
        "GEPA_REFLECTION_BASE_URL": "http://127.0.0.1:9/v1",
    }
    arguments = ["-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "-k", "test_line_names and plain"]
    output = run_python(arguments, EXAMPLE, environment(**others))
    assert OFFLINE_HEADER in output
    assert "1 passed" in output
