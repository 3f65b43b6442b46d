"""The project's own promises: one address, one set of versions, two commands."""

import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONDA_NAME = {"torch": "pytorch"}


def ranges(lines):
    requirements = [Requirement(line) for line in lines]
    return {CONDA_NAME.get(r.name, r.name): str(r.specifier) for r in requirements}


def tracked_text():
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for name in filter(None, names):
        path = ROOT / name
        if path.suffix in {".md", ".py", ".toml", ".yml", ".yaml", ".js", ".cff", ".txt", ".bib"}:
            yield name, path.read_text("utf-8")


def test_environment_yml_agrees_with_pyproject():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    lines = [line for line in listed if isinstance(line, str) and line != "pip"]
    by_pip = next(part["pip"] for part in listed if isinstance(part, dict))
    conda = ranges([*lines, *(line for line in by_pip if not line.startswith("-e"))])
    wanted = ranges(
        PYPROJECT["project"]["dependencies"] + PYPROJECT["project"]["optional-dependencies"]["book"]
    )
    extra = {"python", "jupyterlab"}
    assert {k: v for k, v in conda.items() if k not in extra} == wanted
    assert conda["python"] == PYPROJECT["project"]["requires-python"]


def test_constraints_pin_every_direct_dependency_inside_its_range():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if "==" in line)
    extras = PYPROJECT["project"]["optional-dependencies"]
    direct = (
        PYPROJECT["project"]["dependencies"] + extras["book"] + extras["train"] + extras["test"]
    )
    for requirement in map(Requirement, direct):
        assert requirement.name.lower() in pins, requirement.name
        assert requirement.specifier.contains(pins[requirement.name.lower()]), requirement
    assert pins["torch"] == "2.13.0"


def test_the_repository_address_stands_in_one_place():
    address = PYPROJECT["project"]["urls"]["Repository"]
    owner_name = "/".join(address.split("/")[-2:])
    holders = [name for name, text in tracked_text() if owner_name in text]
    # A reader must be able to copy the README's line; that it is the same is tested here.
    assert holders == ["README.md", "pyproject.toml"]
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f'pip install "dmlib @ git+{address}"' in readme
    assert readme.count(owner_name) == 1


def test_the_makefile_has_at_most_eight_short_targets():
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^(\w+):", text, flags=re.MULTILINE)
    assert {"book", "serve", "test", "notebooks"} <= set(targets)
    assert len(targets) <= 8
    for recipe in re.findall(r"^\w+:.*\n((?:\t.*\n)*)", text, flags=re.MULTILINE):
        assert recipe.count("\n") <= 2


def test_ci_runs_make_test():
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.parametrize("name", ["test", "publish", "weekly"])
def test_workflows_are_valid_yaml_with_least_permissions(name):
    workflow = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text("utf-8"))
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job in workflow["jobs"].values():
        rights = job.get("permissions", workflow["permissions"])
        writes = {name for name, right in rights.items() if right == "write"}
        runs = [step.get("run", "") for step in job["steps"]]
        # What builds the book runs every notebook and every package: it may write nothing.
        assert not writes or not any(re.search("make|pip|python", run) for run in runs)
        assert writes in (set(), {"pages", "id-token"}, {"contents"})


@pytest.mark.parametrize("name", ["test", "publish", "weekly"])
def test_actions_are_pinned_by_hash_and_say_their_version(name):
    text = (ROOT / f".github/workflows/{name}.yml").read_text("utf-8")
    used = re.findall(r"uses: (.*)", text)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("name", ["tools/build/maths/vendored", "book/_static/ort"])
def test_vendored_files_are_the_ones_their_card_names(name):
    folder = ROOT / name
    card = json.loads((folder / "CARD.json").read_text("utf-8"))
    files = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    assert set(card["sha256"]) == files - {"CARD.json"}
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_vendored_runtime_comes_with_the_notices_of_its_parts():
    notices = (ROOT / "book" / "_static" / "ort" / "ThirdPartyNotices.txt").read_text("utf-8")
    for part in ("protobuf", "Eigen", "abseil", "XNNPACK"):
        assert part.lower() in notices.lower(), part


def test_only_the_lectures_chapters_are_called_by_a_number():
    """The others are printed with another number than their file's: they are called by name."""
    for name, text in tracked_text():
        if name.startswith(("book/", "dmlib/")) and not name.endswith(".bib"):
            # Numbers of other books stand in sources: "Kullback 1959, chapter 9".
            found = re.findall(r"(?<!\d{4}, )\bchapter (?:[6-9]|\d\d)\b", text, flags=re.I)
            assert not found, (name, found)


def test_an_excerpt_of_the_code_is_cut_by_its_text_and_not_by_numbers_of_lines():
    pages = {page.name: page.read_text("utf-8") for page in (ROOT / "book").glob("*.md")}
    assert [name for name, text in pages.items() if re.search(r"^:lines:", text, re.M)] == []
