"""Imported by every Python that a case starts: puts the case's overlay in force, then gives way to the `sitecustomize`
that it hides. It is found through PYTHONPATH, and takes itself out of the import path again."""

import os
import sys


def _load_overlay():  # type: () -> None
    """Set up the overlay that the environment names; a child that cannot do so tells its parent."""
    description = os.environ.get("GEPA_OVERLAY")
    if not description or not os.path.exists(description):
        return
    try:
        import importlib.util

        directory = os.path.join(os.path.dirname(_here()), "redirect")
        spec = importlib.util.spec_from_file_location(
            "_gepa_redirect",
            os.path.join(directory, "__init__.py"),
            submodule_search_locations=[directory],
        )
        package = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        sys.modules["_gepa_redirect"] = package
        spec.loader.exec_module(package)  # type: ignore[union-attr]
        from _gepa_redirect.install import install_in_child  # type: ignore[import-not-found]

        install_in_child(description)
        _watch_calls(os.path.dirname(description))
    except Exception as error:
        with open(os.path.join(os.path.dirname(description), "report"), "a") as report:
            report.write('{"trouble": "' + type(error).__name__ + '"}\n')


def _watch_calls(directory):  # type: (str) -> None
    """Have the calls of this process told to its case, where this Python has the package."""
    try:
        from pytest_gepa.suite.child_calls import watch
    except Exception:
        return
    watch(directory)


def _give_way():  # type: () -> None
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _here()]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        hidden = module_from_spec(spec)
        sys.modules["sitecustomize"] = hidden
        spec.loader.exec_module(hidden)


def _here():  # type: () -> str
    return os.path.dirname(os.path.abspath(__file__))


_load_overlay()
_give_way()
