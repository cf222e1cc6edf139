"""The plugin's manners without a flag, its settings, and what it refuses before anything is sent."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from pytest_gepa.settings import Settings
from pytest_gepa.stash import settings_key
from tests.harness import ALONE, APART, KEY, TODAY, Project, Run, cases_of, files_below, no_request

PLAN = ("--gepa-plan", "--gepa-reflection-model=reflector")
MARKED = """\
from decimal import Decimal
from fractions import Fraction

import pytest


@pytest.mark.gepa(trials=3, threshold=0.9, split="holdout", weight=2)
def test_passes_whatever_its_score(gepa):
    gepa.log("found", ["anything", object()])
    gepa.score(0.0, feedback="poor")


@pytest.mark.gepa(threshold=0.1)
def test_fails_whatever_its_score(gepa):
    gepa.score(1)
    assert 1 == 2


@pytest.mark.parametrize("score", [-0.1, 1.1, "1", b"1", None, float("nan"), float("inf"), 1j, [1], object()])
def test_refuses_what_is_no_score(gepa, score):
    with pytest.raises(ValueError, match="from 0 to 1"):
        gepa.score(score)


@pytest.mark.parametrize("score", [0, 1, 0.5, True, Fraction(1, 3), Decimal("0.25")])
def test_takes_numbers_of_any_type(gepa, score):
    gepa.score(score, name="facts", feedback=None)
    gepa.score(score, name="tone", feedback="polite")
    gepa.score(score, name="tone")


def test_refuses_a_name_that_is_no_text(gepa):
    with pytest.raises(ValueError, match="is text"):
        gepa.score(1, name=None)


def test_refuses_a_score_of_the_case_beside_those_of_objectives(gepa):
    gepa.score(1, name="facts")
    with pytest.raises(ValueError, match="every score of the case a name"):
        gepa.score(1)


def test_refuses_objectives_beside_a_score_of_the_case(gepa):
    gepa.score(1)
    gepa.score(0.5)
    with pytest.raises(ValueError, match="every score of the case a name"):
        gepa.score(1, name="facts")


def test_takes_feedback_and_name_by_keyword_only(gepa):
    with pytest.raises(TypeError):
        gepa.score(1, "polite")
"""
MODULES = """\
import sys


def pytest_unconfigure(config):
    print("", *sys.modules, sep="\\nloaded: ")
"""
HOOKS = """\
def pytest_gepa_run_finished(result, directory):
    raise AssertionError("nothing has run")


def pytest_gepa_candidate_evaluated(candidate, texts, scores):
    raise AssertionError("nothing has run")


def pytest_gepa_select_parent(parents, seed):
    raise AssertionError("nothing has run")


def pytest_gepa_propose(component, text):
    raise AssertionError("nothing has run")


def pytest_gepa_accept(candidate, scores):
    raise AssertionError("nothing has run")


def pytest_gepa_merge(one, other):
    raise AssertionError("nothing has run")
"""


def usage_error(run: Run) -> str:
    """The one message of a session that ended with a usage error before anything was sent."""
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.everything
    assert no_request(run)
    assert not (run.rootdir / ".gepa").exists()
    assert "Traceback" not in run.everything
    assert "INTERNALERROR" not in run.everything
    messages = [line for line in run.err.splitlines() if line.strip()]
    assert len(messages) == 1, run.err
    assert messages[0].lstrip().startswith("ERROR: ")
    return messages[0]


# Without a flag


def imported(run: Run) -> set[str]:
    """The modules that were loaded at the end of a session of `MODULES`."""
    assert run.code == 0, run.everything
    return set(re.findall(r"^loaded: (\S+)$", run.out, re.M))


def test_without_a_flag_only_small_modules_are_imported_and_no_file_appears(project: Project):
    # `-X importtime` would miss what pytest loads by `importlib.import_module`, which is the plugin itself.
    project.write({"conftest.py": MODULES})
    before = files_below(project.root)
    with_it = imported(project.pytest("--co", python=APART))
    ours = with_it - imported(project.pytest("--co", "-p", "no:gepa", python=APART))
    own = ("plugin", "hookspecs", "fixture", "options", "stash")
    assert ours == {"pytest_gepa", *(f"pytest_gepa.{name}" for name in own)}
    assert files_below(project.root) == before


def test_without_a_flag_a_suite_runs_as_if_the_plugin_were_not_there(project: Project):
    project.write({"pytest.ini": f"[pytest]\ngepa_budget = 9999\ngepa_prompts = {KEY}/*\n"})
    before = files_below(project.root)
    run = project.pytest("-rA", "--durations=0", "-vv", python=APART)
    alone = project.pytest("-rA", "--durations=0", "-vv", "-p", "no:gepa", python=APART)
    assert run.code == alone.code == pytest.ExitCode.TESTS_FAILED
    assert outcome_lines(run) == outcome_lines(alone)
    assert "gepa:" not in run.everything
    assert (len(run.task_requests), len(run.reflections)) == (12, 0)
    assert files_below(project.root) == before


def outcome_lines(run: Run) -> list[str]:
    return [line for line in run.lines if re.search(r"PASSED|FAILED|ERROR|passed|failed", line)][:-1]


def test_the_marker_and_the_fixture_do_nothing_without_a_flag(project: Project):
    project.write({"test_marked.py": MARKED})
    run = project.pytest("--strict-markers", "test_marked.py")
    assert "1 failed, 21 passed" in run.lines[-1]
    assert not (project.root / ".gepa").exists()


def test_a_conftest_may_implement_the_hooks_without_a_flag(project: Project):
    project.write({"conftest.py": HOOKS, "test_marked.py": MARKED})
    run = project.pytest("test_marked.py")
    assert "1 failed, 21 passed" in run.lines[-1]


def test_a_conftest_that_fails_in_the_end_does_not_hide_what_was_found(project: Project):
    # It averages results that other processes have.
    project.write({"conftest.py": "def pytest_sessionfinish():\n    raise ZeroDivisionError('of no results')\n"})
    run = project.pytest("--gepa-plan", "--gepa-reflection-model=m")
    run.matches("*= gepa =*", "provable *")
    assert "of no results" in run.everything


FINISH = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session, exitstatus):
    session.exitstatus = {status}
"""


@pytest.mark.parametrize(
    ("status", "args", "code"),
    [
        ("session.exitstatus | exitstatus", (), pytest.ExitCode.OK),  # as syrupy does: of today's cases some fail
        ("0", ("--gepa-fail-on=not-proven",), pytest.ExitCode.TESTS_FAILED),
    ],
)
def test_the_exit_code_is_the_mode_s_whatever_others_make_of_the_cases(
    project: Project, status: str, args: tuple[str, ...], code: int
):
    project.write({"conftest.py": FINISH.format(status=status)})
    run = project.pytest("--gepa-optimize", "--gepa-reflection-model=none", "--gepa-budget=60", *args)
    assert run.result["verdict"] != "proven"
    assert run.code == code


def test_blocked_it_is_gone(project: Project):
    project.write({"test_marked.py": MARKED})
    run = project.pytest("-p", "no:gepa", "--strict-markers", "test_marked.py")
    assert run.code == pytest.ExitCode.INTERRUPTED
    assert "'gepa' not found in `markers` configuration option" in run.out
    assert "gepa" not in project.pytest("-p", "no:gepa", "--help").out
    refused = project.pytest("-p", "no:gepa", "--gepa-plan")
    assert refused.code == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --gepa-plan" in refused.err


@pytest.mark.thorough
def test_it_does_nothing_in_the_workers_of_xdist(project: Project):
    project.write({"test_marked.py": MARKED, "conftest.py": HOOKS})
    run = project.pytest("-n2", "test_marked.py", env={"PYTEST_ADDOPTS": ""})
    assert "2 workers" in run.out
    assert "1 failed, 21 passed" in run.lines[-1]
    assert not (project.root / ".gepa").exists()


def test_the_help_names_every_option_and_ini_key(project: Project):
    text = project.pytest("--help").out
    for name in ("optimize", "plan", "prompts", "reflection-model", "budget", "max-minutes", "concurrency"):
        assert f"--gepa-{name}" in text
    for name in ("trials", "holdout", "seed", "timeout", "max-broken", "fail-on"):
        assert f"--gepa-{name}" in text
    for name in ("prompts", "reflection_model", "budget", "max_broken", "isolation"):
        assert re.search(rf"^  gepa_{name} ", text, re.M)
    assert not re.search(r"^  gepa_(optimize|plan) ", text, re.M)


# Settings


def resolved(pytester: pytest.Pytester, *args: str, ini: str = "") -> Settings:
    pytester.makeini(f"[pytest]\n{ini}\n")
    return pytester.parseconfigure("--gepa-plan", *ALONE.split(), *args).stash[settings_key]


def test_settings_have_their_defaults(pytester: pytest.Pytester):
    settings = resolved(pytester)
    assert (settings.prompts, settings.prompts_base) == ((), pytester.path)
    assert (settings.reflection_model, settings.budget, settings.minutes) == (None, None, None)
    assert (settings.concurrency, settings.trials, settings.holdout) == (8, None, 0.0)
    assert (settings.seed, settings.timeout, settings.max_broken) == (0, 120.0, 0)
    assert settings.reflection_timeout == 600.0
    assert (settings.fail_on, settings.isolation) == (None, "auto")


def test_settings_come_from_the_ini_file(pytester: pytest.Pytester):
    ini = """\
gepa_reflection_model = gpt
gepa_budget = 500
gepa_max_minutes = 1.5
gepa_concurrency = 3
gepa_trials = 2
gepa_holdout = 0.25
gepa_seed = -7
gepa_timeout = 9.5
gepa_reflection_timeout = 1800
gepa_max_broken = 1
gepa_fail_on = not-proven
gepa_isolation = spawn
gepa_prompts =
    a/*.md
    b/*.txt
"""
    settings = resolved(pytester, ini=ini)
    assert (settings.reflection_model, settings.budget, settings.minutes) == ("gpt", 500, 1.5)
    assert (settings.concurrency, settings.trials, settings.holdout) == (3, 2, 0.25)
    assert (settings.seed, settings.timeout, settings.max_broken) == (-7, 9.5, 1)
    assert settings.reflection_timeout == 1800.0
    assert (settings.fail_on, settings.isolation) == ("not-proven", "spawn")
    assert settings.prompts == ("a/*.md", "b/*.txt")


def test_an_option_wins_over_its_ini_key(pytester: pytest.Pytester):
    settings = resolved(
        pytester,
        "--gepa-seed=0",
        "--gepa-prompts=c/*",
        "--gepa-prompts",
        "d/*",
        ini="gepa_seed=7\ngepa_prompts=a",
    )
    assert settings.seed == 0
    assert settings.prompts == ("c/*", "d/*")


@pytest.mark.parametrize(
    ("args", "concurrency"),
    [
        ("-n 4", 4),
        ("-n 0", 1),
        ("-n 64 --maxprocesses 2", 2),
        ("-n 2 --maxprocesses 64", 2),
        ("-n 0 --maxprocesses 2", 1),
        ("-n 0 --gepa-concurrency=3", 3),
        ("--maxprocesses 2", 8),
        ("--dist load --tx 3*popen --tx popen", 4),
    ],
)
def test_as_many_cases_run_at_once_as_xdist_was_told(pytester: pytest.Pytester, args: str, concurrency: int):
    pytest.importorskip("xdist")
    with_xdist = ALONE.replace("-p no:xdist", "")
    config = pytester.parseconfigure("--gepa-plan", *with_xdist.split(), *args.split())
    assert config.stash[settings_key].concurrency == concurrency


def test_a_zero_on_the_command_line_wins_over_the_ini_file(pytester: pytest.Pytester):
    ini = "gepa_max_broken = 3\ngepa_holdout = 0.5"
    settings = resolved(pytester, "--gepa-max-broken=0", "--gepa-holdout=0", ini=ini)
    assert (settings.max_broken, settings.holdout) == (0, 0.0)


@pytest.mark.parametrize("budget", ["'60'", "60"])
def test_settings_come_from_pyproject(pytester: pytest.Pytester, budget: str):
    pytester.makepyprojecttoml(
        f"[tool.pytest.ini_options]\ngepa_budget = {budget}\ngepa_prompts = ['a/*.md', 'b.txt']\n"
    )
    settings = pytester.parseconfigure("--gepa-plan", *ALONE.split()).stash[settings_key]
    assert (settings.budget, settings.prompts) == (60, ("a/*.md", "b.txt"))


LISTS = {
    "gepa_prompts": '["a/*.md"]',
    "gepa_redact": '["key-[0-9]+"]',
    "gepa_prices": '["m input=1 output=2"]',
}
STRINGS = {
    "gepa_budget": '"60"',
    "gepa_holdout": '"0.2"',
    "gepa_shrink": '"off"',
    "gepa_edits": '"add, delete"',
}


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest has native tables from version 9 on")
def test_settings_come_from_a_native_table_in_the_forms_that_the_page_names(pytester: pytest.Pytester):
    values = {**LISTS, **STRINGS, "gepa_fail_on_trouble": "true"}
    table = "".join(f"{key} = {value}\n" for key, value in values.items())
    pytester.makepyprojecttoml(f"[tool.pytest]\n{table}")
    settings = pytester.parseconfigure("--gepa-plan", *ALONE.split()).stash[settings_key]
    assert (settings.prompts, settings.redact) == (("a/*.md",), ("key-[0-9]+",))
    assert settings.prices == ("m input=1 output=2",)
    assert (settings.budget, settings.holdout, settings.shrinks) == (60, 0.2, False)
    assert settings.fails_on_trouble
    told = (Path(__file__).parents[1] / "docs/settings.md").read_text(encoding="utf-8")
    told = " ".join(told.partition("In a native")[2].partition(".)")[0].split())
    assert [name for name in LISTS if f"`{name}`" in told.partition("are lists of strings")[0]] == list(LISTS)
    assert "`gepa_fail_on_trouble` is `true` or `false`, and all others are strings" in told


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("--gepa-budget=many", "a whole number, 1 or more"),
        ("--gepa-budget=0", "a whole number, 1 or more"),
        ("--gepa-budget=1.5", "a whole number, 1 or more"),
        ("--gepa-max-minutes=0", "a number above 0"),
        ("--gepa-max-minutes=nan", "a number above 0"),
        ("--gepa-max-minutes=inf", "a number above 0"),
        ("--gepa-concurrency=0", "a whole number, 1 or more"),
        ("--gepa-trials=0", "a whole number, 1 or more"),
        ("--gepa-holdout=1", "a number, 0 or more and below 1"),
        ("--gepa-holdout=-0.1", "a number, 0 or more and below 1"),
        ("--gepa-seed=x", "a whole number"),
        ("--gepa-timeout=0", "a number above 0"),
        ("--gepa-max-broken=-1", "a whole number, 0 or more"),
        ("--gepa-fail-on=never", "not-proven"),
    ],
)
def test_a_bad_option_is_refused_with_what_would_do(pytester: pytest.Pytester, given: str, wanted: str):
    option, _, value = given.partition("=")
    with pytest.raises(pytest.UsageError) as caught:
        resolved(pytester, given)
    message = str(caught.value)
    assert message.startswith(f"gepa: {option}: '{value}'")
    assert wanted in message


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "gepa_budget = lots",
            "gepa_budget (tox.ini): 'lots' is not valid; expected a whole number, 1 or more",
        ),
        (
            "gepa_isolation = docker",
            "gepa_isolation (tox.ini): 'docker' is not valid; expected one of auto, fork, spawn, strict",
        ),
        ("gepa_budgt = 5", "gepa_budgt (tox.ini): there is no such setting; did you mean gepa_budget?"),
        (
            "gepa_optimize = true",
            "gepa_optimize (tox.ini) is a mode, not a setting; give --gepa-optimize when you want",
        ),
        ("gepa_plan = true", "gepa_plan (tox.ini) is a mode, not a setting; give --gepa-plan when you want"),
    ],
)
def test_a_bad_ini_key_is_refused_with_its_file_and_the_mend(pytester: pytest.Pytester, line: str, wanted: str):
    with pytest.raises(pytest.UsageError) as caught:
        resolved(pytester, ini=line)
    assert wanted in str(caught.value)


def test_a_setting_that_is_refused_is_told_without_secrets(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """By the patterns of the user's own, too, as far as they can be read."""
    monkeypatch.setenv("BILLING_TOKEN", "t0pS3cret-of-billing")
    with pytest.raises(pytest.UsageError) as caught:
        resolved(pytester, "--gepa-budget=ACME-7 t0pS3cret-of-billing", ini="gepa_redact =\n    (\n    ACME-\\d")
    assert "--gepa-budget: '[redacted] [redacted]' is not valid" in str(caught.value)


def test_fork_is_refused_where_the_system_has_it_not(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    assert resolved(pytester, ini="gepa_isolation = fork").isolation == "fork"
    monkeypatch.delattr(socket, "SOCK_SEQPACKET")
    with pytest.raises(pytest.UsageError) as caught:
        resolved(pytester, ini="gepa_isolation = fork")
    assert "gepa_isolation (tox.ini): fork cannot be had on this system" in str(caught.value)
    assert "give spawn" in str(caught.value)


def test_an_ini_key_like_no_other_is_refused_with_all_that_are_known(pytester: pytest.Pytester):
    told = r"gepa_zzz \(tox.ini\): there is no such setting; known are gepa_prompts, gepa_reflection_model"
    with pytest.raises(pytest.UsageError, match=told):
        resolved(pytester, ini="gepa_zzz = 5")


@pytest.mark.parametrize("ini", ["", "gepa_trials = 2"])
def test_a_value_of_the_command_line_is_not_laid_to_a_file(pytester: pytest.Pytester, ini: str):
    if ini:
        pytester.makeini(f"[pytest]\n{ini}\n")
    for given, told in [
        ("gepa_trials=abc", "gepa_trials: 'abc' is not valid; expected a whole number, 1 or more"),
        ("gepa_redact=(", "gepa_redact: '(' is no regular expression"),
        ("gepa_prices=m input=1", "gepa_prices: 'm input=1': input= and output= are needed"),
    ]:
        with pytest.raises(pytest.UsageError, match=re.escape(told)):
            pytester.parseconfigure("--gepa-plan", *ALONE.split(), "-o", given)


# What is refused before anything is sent


def test_a_project_without_prompts(project: Project):
    (project.root / "prompts/route.md").unlink()
    message = usage_error(project.optimize())
    assert f"no prompt file found for prompts/**/* in {project.root}" in message
    assert "--gepa-prompts" in message
    assert "gepa_prompts" in message


def test_no_reflection_model(project: Project):
    message = usage_error(project.pytest("--gepa-optimize"))
    assert all(word in message for word in ("--gepa-reflection-model", "GEPA_REFLECTION_MODEL"))


@pytest.mark.parametrize(
    ("place", "args"),
    [(".gepa", ("--gepa-optimize", "--gepa-reflection-model=none")), (".gepa/runs", ("--gepa-audit",))],
)
def test_a_place_of_runs_that_cannot_be_written(project: Project, place: str, args: tuple[str, ...]):
    project.write({place: "no directory"})
    run = project.pytest(*args)
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.everything
    assert no_request(run)
    assert f"runs are kept in {project.root / place}, which cannot be written" in run.err
    assert "Traceback" not in run.everything
    assert "INTERNALERROR" not in run.everything


NO_KEY = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}


def test_a_reflection_model_without_its_key_is_told_before_anything_is_paid_for(project: Project):
    message = usage_error(project.optimize(env=NO_KEY))
    assert "'reflector' at https://api.openai.com/v1: no key for it; set GEPA_REFLECTION_API_KEY, or OPENAI" in message
    elsewhere = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "k"}
    default = {"GEPA_REFLECTION_BASE_URL": "https://api.openai.com/v1"}
    message = usage_error(project.optimize(env={**elsewhere, **default}))
    assert "set GEPA_REFLECTION_API_KEY, name another server" in message


def test_a_plan_needs_no_key(project: Project):
    assert project.pytest(*PLAN, env=NO_KEY).code == 0


@pytest.mark.parametrize("flag", ["--collect-only", "--setup-plan", "--setup-only"])
def test_a_flag_that_excludes_a_run(project: Project, flag: str):
    assert f"gepa: {flag} and a gepa mode exclude each other" in usage_error(project.optimize(flag))


@pytest.mark.parametrize(
    ("mode", "option", "said"),
    [
        ("--gepa-check", "--gepa-ancestor=main", "--gepa-ancestor says nothing to --gepa-check; it goes with"),
        ("--gepa-check", "--gepa-max-broken=5", "--gepa-max-broken says nothing to --gepa-check"),
        ("--gepa-audit", "--gepa-holdout=0.2", "--gepa-holdout says nothing to --gepa-audit"),
        ("--gepa-baseline=a", "--gepa-reflection-model=m", "goes with --gepa-optimize and --gepa-resume. Leave it out"),
        ("--gepa-optimize", "--gepa-fail-on-trouble", "it goes with --gepa-check and --gepa-baseline. Leave it out"),
        ("--gepa-audit", "--gepa-fail-on=not-proven", "--gepa-audit has no gate, it tells what it finds"),
    ],
)
def test_an_option_of_another_mode(pytester: pytest.Pytester, mode: str, option: str, said: str):
    with pytest.raises(pytest.UsageError, match=re.escape(said)):
        pytester.parseconfigure(mode, *ALONE.split(), option)


def test_in_the_ini_file_settings_of_other_modes_may_stand(pytester: pytest.Pytester):
    pytester.makeini(
        "[pytest]\naddopts = --gepa-holdout=0.2\ngepa_ancestor = main\ngepa_fail_on_trouble = on\ngepa_max_broken = 5\n"
    )
    config = pytester.parseconfigure("--gepa-audit", *ALONE.split())
    assert config.stash[settings_key].mode == "audit"


@pytest.mark.parametrize("flag", ["--pdb", "--trace"])
def test_flags_that_need_a_terminal(pytester: pytest.Pytester, flag: str):
    with pytest.raises(pytest.UsageError, match=f"{flag} needs a terminal"):
        pytester.parseconfigure("--gepa-optimize", "--gepa-reflection-model=m", *ALONE.split(), flag)


def test_a_budget_that_is_too_small_names_the_smallest_that_would_do(project: Project):
    message = usage_error(project.optimize("--gepa-budget=40"))
    found = re.search(r"baseline \((\d+)\), one candidate \((\d+)\) and the confirm run \((\d+)\)", message)
    assert found is not None
    baseline, candidate, confirm = map(int, found.groups())
    assert (baseline, confirm) == (12, 24)
    assert message.endswith(f"the smallest that can is --gepa-budget {baseline + candidate + confirm}")


def test_a_malformed_marker(project: Project):
    test = "import pytest\n\n\n@pytest.mark.gepa(trails=3)\ndef test_one():\n    assert 0\n"
    project.write({"test_one.py": test})
    message = usage_error(project.optimize("test_one.py"))
    assert message.startswith("ERROR: gepa: test_one.py::test_one: ")
    assert (
        "@pytest.mark.gepa(trails=3): there is no such keyword; known are trials, threshold, split, weight" in message
    )


def test_a_prompt_that_is_not_utf_8(project: Project):
    project.write({"prompts/latin.md": "Größe".encode("latin-1")})
    message = usage_error(project.optimize())
    assert "prompts/latin.md" in message
    assert "UTF-8" in message


@pytest.mark.parametrize(("share", "mark"), [("0.99", ""), ("0", "pytestmark = pytest.mark.gepa(split='holdout')")])
def test_nothing_left_to_search_with(project: Project, share: str, mark: str):
    project.write({"test_one.py": f"import pytest\n\n{mark}\n\n\ndef test_one():\n    assert 0\n"})
    message = usage_error(project.optimize("test_one.py", f"--gepa-holdout={share}"))
    assert "every case is held out" in message
    assert "--gepa-holdout" in message


def test_no_cases_end_as_pytest_ends_them(project: Project):
    run = project.optimize("-k", "nothing_is_called_so")
    assert run.code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert no_request(run)
    assert not (project.root / ".gepa").exists()


def test_collection_errors_end_as_pytest_ends_them(project: Project):
    project.write({"test_broken.py": "import no_such_module_anywhere\n"})
    run = project.optimize()
    assert run.code == pytest.ExitCode.INTERRUPTED
    assert "1 error during collection" in run.out
    assert no_request(run)
    assert not (project.root / ".gepa").exists()


# The plan, and where globs resolve


def test_the_plan_is_printed_and_nothing_is_run(project: Project):
    before = files_below(project.root)
    run = project.pytest(*PLAN, "--gepa-seed=3")
    assert run.code == 0, run.everything
    assert no_request(run)
    assert files_below(project.root) == before
    run.matches(
        "gepa: plan only, nothing is run, seed 3",
        "*= gepa =*",
        "prompts * 1",
        f"  prompts/route.md: {len(TODAY)} characters",
        "cases * 12 (12 search, 0 held out)",
        "reflection model * reflector",
        "*at most * rollouts*",
    )


def planned(run: Run) -> list[str]:
    """The prompts that a plan names."""
    assert run.code == 0, run.everything
    return re.findall(r"^  (\S+): [\d,]+ characters", run.out, re.M)


@pytest.fixture
def nested(project: Project) -> Project:
    """Prompts in more than one place, and the same names at the top and in a subdirectory."""
    project.write(
        {
            "pytest.ini": "[pytest]\ngepa_prompts = texts/*.md\n",
            "texts/top.md": "top",
            "deep/texts/deep.md": "deep",
            "deep/test_deep.py": "def test_deep():\n    pass\n",
        }
    )
    return project


def test_globs_of_the_ini_file_resolve_against_its_directory(nested: Project):
    assert planned(nested.pytest(*PLAN)) == ["texts/top.md"]
    assert planned(nested.pytest(*PLAN, cwd=nested.root / "deep")) == ["texts/top.md"]


def test_globs_of_an_ini_file_that_was_named_resolve_against_its_directory(nested: Project):
    nested.write({"deep/other.ini": "[pytest]\ngepa_prompts = texts/*.md\n"})
    run = nested.pytest(*PLAN, "-c", "deep/other.ini", "--rootdir", str(nested.root), "deep")
    assert planned(run) == ["deep/texts/deep.md"]


def test_globs_of_the_command_line_resolve_against_the_directory_that_it_is_given_in(nested: Project):
    run = nested.pytest(*PLAN, "--gepa-prompts=texts/*.md", cwd=nested.root / "deep")
    assert planned(run) == ["deep/texts/deep.md"]


def test_a_prompt_outside_of_the_rootdir_is_refused(nested: Project):
    outside = nested.root.parent / "outside.md"
    outside.write_text("not ours", encoding="utf-8")
    message = usage_error(nested.pytest(*PLAN, "--gepa-prompts=../outside.md"))
    assert "outside.md" in message


def test_a_judges_prompt_is_left_out_unless_it_is_named(project: Project):
    project.write({"prompts/judge.md": "Say yes if the answer is kind.\n"})
    run = project.pytest(*PLAN)
    run.matches("prompts              1", "left unchanged       prompts/judge.md: named like a judge's prompt")
    run = project.pytest(*PLAN, "--gepa-prompts=prompts", "--gepa-prompts=prompts/judge.md")
    run.matches("prompts              2")


def test_where_all_prompts_are_judges_one_has_to_be_named(project: Project):
    project.write({"judges/tone.md": "Say yes if the answer is kind.\n"})
    run = project.pytest(*PLAN, "--gepa-prompts=judges")
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert "all prompts found are called judges, which are not improved unasked (judges/tone.md)" in run.everything


def test_both_modes_at_once_only_plan(project: Project):
    run = project.optimize("--gepa-plan")
    assert run.code == 0
    assert no_request(run)


def test_a_plan_says_when_the_cases_are_too_few_to_prove_anything(project: Project):
    project.cases(cases_of(["animal"]))
    run = project.pytest(*PLAN)
    run.matches("provable * nothing: 3 cases are too few *")


def test_a_session_without_a_terminal_reporter_can_plan(project: Project):
    run = project.pytest(*PLAN, "-p", "no:terminal")
    assert run.code == 0, run.everything
    assert no_request(run)


def test_what_python_warns_of_in_a_test_is_not_printed_again(project: Project) -> None:
    """Python 3.12 tells of unknown escapes by itself; with `-W default` the others do."""
    escape = "import re\n\n\ndef test_it():\n    assert re.match('\\d', '1')\n"
    project.write({"test_escape.py": escape})
    run = project.pytest("--gepa-plan", "--gepa-reflection-model=none", python=("-W", "default"))
    assert run.code == 0, run.everything
    assert "<unknown>" not in run.everything
