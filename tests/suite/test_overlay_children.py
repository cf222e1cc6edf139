from __future__ import annotations

import pytest

from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.runner import Runner
from tests.suite.world import PROMPT, TODAY, Build, Project, evaluate, logged, outcomes

CANDIDATE = "Greet them as it was never done, ümläuts and all.\n"
APP = """
    import sys
    from pathlib import Path

    FILE = Path(__file__).parent / "prompts" / "greet.md"

    def read(_=None):
        return FILE.read_bytes()

    def hand_over(queue):
        queue.put(read())

    if __name__ == "__main__":
        sys.stdout.buffer.write(read())
"""
SEEN = """
    import asyncio, concurrent.futures, multiprocessing, os, shlex, subprocess, sys
    from pathlib import Path

    import pytest

    import app

    APP = str(Path(app.__file__))
    ROOT = Path(APP).parent
    PYTHON = shlex.quote(sys.executable)

    @pytest.fixture
    def see(gepa):
        return lambda data: gepa.log("text", data.decode())

    def run(*words, **kwargs):
        return subprocess.run(words, stdout=subprocess.PIPE, check=True, **kwargs).stdout

    def test_script(see):
        see(run(sys.executable, APP))

    def test_module(see):
        see(run(sys.executable, "-m", "app", cwd=ROOT))

    def test_code(see):
        see(run(sys.executable, "-c", "import app, sys; sys.stdout.buffer.write(app.read())", cwd=ROOT))

    def test_path_as_an_argument(see):
        code = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
        see(run(sys.executable, "-c", code, str(app.FILE)))

    def test_empty_environment(see):
        see(run(sys.executable, APP, env={}))

    def test_environment_of_its_own(see):
        see(run(sys.executable, APP, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}))

    def test_environment_in_bytes(see):
        see(run(sys.executable, APP, env={b"PATH": os.environb[b"PATH"]}))

    def test_cleared_environment(see, monkeypatch):
        for name in os.environ:
            monkeypatch.delenv(name)
        see(run(sys.executable, APP))

    def test_cleared_environment_and_multiprocessing(see, monkeypatch):
        for name in os.environ:
            monkeypatch.delenv(name)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            see(pool.map(app.read, [0])[0])

    def test_shell(see):
        see(subprocess.check_output(f"true && {PYTHON} {shlex.quote(APP)}", shell=True))

    def test_os_system(see, tmp_path, monkeypatch):
        monkeypatch.delenv("PYTHONPATH", raising=False)
        assert os.system(f"{PYTHON} {shlex.quote(APP)} > {shlex.quote(str(tmp_path / 'out'))}") == 0
        assert "PYTHONPATH" not in os.environ
        see((tmp_path / "out").read_bytes())

    def test_posix_spawn(see, tmp_path):
        out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
        actions = [(os.POSIX_SPAWN_DUP2, out, 1)]
        pid = os.posix_spawn(sys.executable, [sys.executable, APP], {}, file_actions=actions)
        os.waitpid(pid, 0)
        os.close(out)
        see((tmp_path / "out").read_bytes())

    def test_os_spawn(see, tmp_path, monkeypatch):
        code = f"import app; open({str(tmp_path / 'out')!r}, 'wb').write(app.read())"
        monkeypatch.chdir(ROOT)
        monkeypatch.delenv("GEPA_OVERLAY", raising=False)
        assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0
        see((tmp_path / "out").read_bytes())

    def test_os_spawn_with_an_environment(see, tmp_path):
        code = f"import app; open({str(tmp_path / 'out')!r}, 'wb').write(app.read())"
        environ = {"PYTHONPATH": str(ROOT)}
        assert os.spawnve(os.P_WAIT, sys.executable, [sys.executable, "-c", code], environ) == 0
        see((tmp_path / "out").read_bytes())

    def test_asyncio(see):
        async def read():
            process = await asyncio.create_subprocess_exec(sys.executable, APP, stdout=asyncio.subprocess.PIPE)
            return (await process.communicate())[0]

        see(asyncio.run(read()))

    def test_grandchild(see):
        code = f"import subprocess, sys; subprocess.run([sys.executable, {APP!r}], env={{}})"
        see(run(sys.executable, "-c", code))

    def test_fork(see):
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.write(writing, app.read())
            os._exit(0)
        os.waitpid(pid, 0)
        see(os.read(reading, 1000))
        os.close(reading)
        os.close(writing)

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_multiprocessing(see, method):
        context = multiprocessing.get_context(method)
        queue = context.SimpleQueue()
        process = context.Process(target=app.hand_over, args=[queue])
        process.start()
        see(queue.get())
        process.join()

    def test_process_pool(see):
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            see(pool.submit(app.read).result())
"""
UNSEEN = """
    import io, os, subprocess, sys
    from pathlib import Path

    FILE = Path(__file__).parent / "prompts" / "greet.md"
    READ = "import sys; open(sys.argv[1]).read()"

    def test_cat():
        subprocess.run(["cat", FILE], stdout=subprocess.DEVNULL)

    def test_shell():
        subprocess.run("cat prompts/greet.md > /dev/null", shell=True, cwd=FILE.parent.parent)

    def test_os_system():
        os.system(f"cat {FILE} > /dev/null")

    def test_os_popen():
        os.popen(f"cat {FILE}").close()

    def test_posix_spawn():
        os.waitpid(os.posix_spawn("/bin/cat", ["cat", str(FILE)], {}), 0)

    def test_os_spawn():
        os.spawnl(os.P_WAIT, "/bin/cat", "cat", str(FILE))

    def test_isolated_python():
        subprocess.run([sys.executable, "-I", "-c", READ, FILE])

    def test_python_without_site():
        subprocess.run([sys.executable, "-S", "-c", READ, FILE])

    def test_python_without_environment():
        subprocess.run([sys.executable, "-E", "-c", READ, FILE])

    def test_read_past_the_overlay_in_a_child():
        subprocess.run([sys.executable, "-c", "import io, sys; io.FileIO(sys.argv[1]).close()", FILE])

    def test_read_past_the_overlay_in_a_fork():
        pid = os.fork()
        if not pid:
            io.FileIO(FILE).close()
            os._exit(0)
        os.waitpid(pid, 0)

    def test_program_in_a_grandchild():
        code = "import subprocess, sys; subprocess.run(['cat', sys.argv[1]])"
        subprocess.run([sys.executable, "-c", code, FILE], stdout=subprocess.DEVNULL)
"""
MANNERS = """
    import json, os, subprocess, sys
    from pathlib import Path

    ROOT = Path(__file__).parent
    TELL = "import json, sys; print(json.dumps([sys.path, getattr(sys, 'customised', None)]))"
    # A virtual environment has no user's directory.
    PLAIN = os.path.realpath(sys.executable)

    def tell(gepa, program=sys.executable, **environ):
        shown = subprocess.check_output([program, "-c", TELL], env={**os.environ, **environ})
        gepa.log("text", shown.decode())

    def test_import_path(gepa, monkeypatch):
        tell(gepa, PYTHONPATH="")

    def test_customised(gepa):
        tell(gepa, PYTHONPATH=str(ROOT / "custom"))

    def test_user_customised(gepa, tmp_path):
        code = "import site; print(site.getusersitepackages())"
        environ = {**os.environ, "PYTHONUSERBASE": str(tmp_path)}
        path = Path(subprocess.check_output([PLAIN, "-c", code], env=environ, text=True).strip())
        path.mkdir(parents=True)
        (path / "usercustomize.py").write_text("import sys; sys.customised = 'by the user'")
        tell(gepa, PLAIN, PYTHONUSERBASE=str(tmp_path))

    def test_customised_with_an_error(gepa):
        environ = {**os.environ, "PYTHONPATH": str(ROOT / "broken")}
        done = subprocess.run([sys.executable, "-c", "print(1)"], env=environ, capture_output=True, text=True)
        gepa.log("text", done.stdout + done.stderr)

    def test_a_child_that_reads_nothing():
        subprocess.run([sys.executable, "-c", ""], check=True)

    def test_a_program_that_is_given_another_file():
        subprocess.run(["cat", ROOT / "pytest.ini"], stdout=subprocess.DEVNULL, check=True)
"""


def names(source: str) -> tuple[str, ...]:
    found = [line.split("(")[0].split()[1] for line in source.splitlines() if line.startswith("    def test_")]
    return tuple(
        f"{name}[{index}]" if name == "test_multiprocessing" else name
        for name in found
        for index in range(3 if name == "test_multiprocessing" else 1)
    )


@pytest.fixture(scope="module")
def project(build: Build) -> Project:
    return build(
        {
            "app.py": APP,
            "test_seen.py": SEEN,
            "test_unseen.py": UNSEEN,
            "test_manners.py": MANNERS,
            "custom/sitecustomize.py": "import sys\nsys.customised = __name__\n",
            "broken/sitecustomize.py": "raise RuntimeError('as ever')\n",
        }
    )


@pytest.fixture(scope="module")
def seen(project: Project, usual_runner: Runner) -> Evaluation:
    return evaluate(project.suite(usual_runner, [f"test_seen.py::{name}" for name in names(SEEN)]), CANDIDATE)


@pytest.mark.parametrize("case", names(SEEN))
def test_a_python_child_sees_the_candidate(seen: Evaluation, case: str) -> None:
    assert logged(seen.rollouts[f"test_seen.py::{case}"]) == CANDIDATE


@pytest.mark.parametrize("case", names(SEEN))
def test_what_a_python_child_reads_is_told_as_a_read_of_the_case(seen: Evaluation, case: str) -> None:
    assert PROMPT in seen.rollouts[f"test_seen.py::{case}"].reads


@pytest.mark.parametrize("case", names(UNSEEN))
def test_a_program_that_reads_the_file_itself_makes_an_error(project: Project, fork_runner: Runner, case: str) -> None:
    (rollout,) = evaluate(project.suite(fork_runner, [f"test_unseen.py::{case}"]), CANDIDATE).rollouts.values()

    assert (rollout.outcome.value, rollout.score) == ("error", None)
    assert f"not in effect: {PROMPT} was read past the overlay" in rollout.trajectory.failure


def test_in_a_new_interpreter_a_child_sees_the_candidate_and_the_error_of_a_program_names_it_and_the_line(
    project: Project, spawn_runner: Runner
) -> None:
    suite = project.suite(spawn_runner, ["test_seen.py::test_script", "test_unseen.py::test_cat"])

    script, cat = evaluate(suite, CANDIDATE).rollouts.values()

    assert logged(script) == CANDIDATE
    assert "the program 'cat' was given its path (test_unseen.py:9)" in cat.trajectory.failure


def test_the_file_itself_keeps_its_bytes(project: Project, seen: Evaluation) -> None:
    assert seen.rollouts
    assert (project.root / PROMPT).read_text() == TODAY


def manners(project: Project, runner: Runner, case: str) -> str:
    (rollout,) = evaluate(project.suite(runner, [f"test_manners.py::{case}"])).rollouts.values()
    return logged(rollout)


def test_a_child_has_the_import_path_that_it_would_have(project: Project, fork_runner: Runner) -> None:
    assert "child_python" not in manners(project, fork_runner, "test_import_path")


def test_the_sitecustomize_that_is_hidden_is_run_too(project: Project, fork_runner: Runner) -> None:
    assert '"sitecustomize"' in manners(project, fork_runner, "test_customised")


def test_usercustomize_is_run_as_ever(project: Project, fork_runner: Runner) -> None:
    assert "by the user" in manners(project, fork_runner, "test_user_customised")


def test_an_error_in_the_hidden_sitecustomize_is_shown_as_ever(project: Project, fork_runner: Runner) -> None:
    shown = manners(project, fork_runner, "test_customised_with_an_error")

    assert shown.startswith("1\n")
    assert "RuntimeError: as ever" in shown


def test_other_children_and_other_files_are_no_trouble(project: Project, fork_runner: Runner) -> None:
    cases = ["test_a_child_that_reads_nothing", "test_a_program_that_is_given_another_file"]
    suite = project.suite(fork_runner, [f"test_manners.py::{case}" for case in cases])

    assert set(outcomes(evaluate(suite)).values()) == {"passed"}


def test_a_program_that_reads_the_file_spoils_no_other_case(build: Build, runner: Runner) -> None:
    tests = """
        import subprocess
        from pathlib import Path

        FILE = Path(__file__).parent / "prompts" / "greet.md"

        def test_hands_it_on():
            subprocess.run(["cat", FILE], stdout=subprocess.DEVNULL, check=True)

        def test_next():
            assert FILE.read_text()

        def test_last():
            assert FILE.read_text()
    """
    names = ("test_hands_it_on", "test_next", "test_last")
    suite = build({"test_it.py": tests}).suite(runner, [f"test_it.py::{name}" for name in names])
    assert list(outcomes(evaluate(suite)).values()) == ["error", "passed", "passed"]
