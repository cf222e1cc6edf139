from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gepa.prompts.finding import find_components, named_outright
from pytest_gepa.prompts.judges import is_called_a_judge, named_by_itself, without_judges


@pytest.mark.parametrize(
    "component",
    [
        "prompts/judge.md",
        "prompts/tone_judge_v2.md",
        "prompts/grading/rubric.md",
        "evals/LLMGrader.txt",
        "app/prompts.py::JUDGE_PROMPT",
        "config.yaml::judges.tone.system",
        "prompts/evaluator.md",
        "prompts/answer_evaluation.md",
        "prompts/eval-response.txt",
        "critic.md",
        "prompts/critique.jinja2",
        "prompts/AnswerScorer.md",
        "prompts/scoring.yaml::system",
        "prompts/verifier.md",
        "prompts/referee_2.md",
        "prompts/assessor.md",
    ],
)
def test_a_judge_is_known_by_its_name(component: str) -> None:
    assert is_called_a_judge(component)


@pytest.mark.parametrize(
    "component",
    [
        "prompts/judgement_of_taste.md",
        "prompts/upgrader.md",
        "prompts/route.md",
        "prompts/evaluate_loan.md",
        "prompts/credit_scoring.md",
        "prompts/loan_evaluation.md",
        "prompts/retrieval.md",
        "prompts/criticism.md",
        "evals/route.md",
        "evaluation/prompts.yaml::router.system",
        "config.yaml::steps.critic.system",
    ],
)
def test_a_name_that_only_begins_like_one_is_none(component: str) -> None:
    assert not is_called_a_judge(component)


def test_judges_are_left_out_unless_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    for name in ("judge.md", "route.md"):
        (tmp_path / "prompts" / name).write_text("Be brief.\n", encoding="utf-8")
    found = find_components(tmp_path, tmp_path, ["prompts"])
    improvable, judges = without_judges(found, ())
    assert ([one.id for one in improvable], judges) == (["prompts/route.md"], ("prompts/judge.md",))
    assert without_judges(found, {"prompts/judge.md"}) == (list(found), ())


def test_what_is_named_outright(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/judge.md").write_text("Be strict.\n", encoding="utf-8")
    (tmp_path / "all.yaml").write_text("judge: Be strict.\n", encoding="utf-8")
    patterns = ["prompts", "prompts/*.md", "prompts/judge.md", "all.yaml::judge", "all.yaml::*"]
    assert named_outright(tmp_path, patterns) == ["prompts/judge.md", "all.yaml::judge"]


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (["prompts/judge.md"], {"prompts/judge.md"}),
        (["models.yaml::judge.system"], {"models.yaml::judge.system"}),
        (["models.yaml::judge.system", "models.yaml::summary.system"], set()),
        (["judges.yaml::strict", "judges.yaml::mild"], {"judges.yaml::strict", "judges.yaml::mild"}),
    ],
)
def test_who_names_a_file_of_several_texts_has_not_named_its_judge(found: list[str], named: set[str]) -> None:
    assert named_by_itself(found) == named
