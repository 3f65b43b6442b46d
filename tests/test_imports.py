"""Laws of the house, read from the sources: who may import whom, how long a module may be.

And from fresh processes: what `import dmlib` brings in, and that it costs no more than torch.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "dmlib"

# From the bottom up. A module may import what stands on a line above its own, or what is in its
# own package; `test_no_circle` looks into the packages.
LAYERS = (
    ("_validate", "assets"),
    ("schedules",),
    ("forward",),
    ("parameterization",),
    ("mixture", "losses", "bound", "steps"),
    ("oracle", "sampling"),
    ("guidance", "continuous"),
    ("models", "data"),
    ("applications",),
    ("checkpoint",),
    ("training",),
    ("metrics",),
    ("book",),
)
LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}
FLAT = 11  # the modules of mathematics that a stranger sees first
OUTSIDE = {  # the only packages from outside that a room may import; the rest: torch and numpy
    "models": {"torch"},
    "data": {"torch", "numpy", "pooch", "requests", "tqdm", "PIL"},
    "checkpoint": {"torch", "numpy", "safetensors"},
    "training": {"torch", "numpy", "accelerate"},
    "metrics": {"torch", "numpy", "pytorch_fid"},
}
SCREEN = {"matplotlib", "ipywidgets", "anywidget", "IPython", "traitlets", "PIL"}
LONGEST = 250  # lines of code, docstrings and blank lines not counted


def sources() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def part(path: Path) -> str:
    """The part of dmlib a file belongs to: its module or its package."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a source imports anywhere, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "dmlib":  # from dmlib import checkpoint
                found |= {f"dmlib.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def own_imports(path: Path) -> set[str]:
    """The parts of dmlib that a source imports."""
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("dmlib.")}
    return {name for name in ours if (LIBRARY / name).is_dir() or (LIBRARY / f"{name}.py").exists()}


def outside_imports(path: Path) -> set[str]:
    """The packages that a source imports and that neither Python nor dmlib brings."""
    names = {name.split(".")[0] for name in imports(path)}
    return names - {"dmlib"} - set(sys.stdlib_module_names)


named = pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(LIBRARY)))


@named
def test_imports_point_one_way(path):
    mine = part(path)
    if mine == "__init__":
        return
    for other in own_imports(path) - {mine}:
        assert LEVEL[other] < LEVEL[mine], f"{mine} imports {other}, which does not stand below it"


def test_no_circle():
    """No module reaches itself by its imports, inside a package either."""
    names = {p: ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in sources()}
    graph = {}
    for path, name in names.items():
        name = name.removesuffix(".__init__")
        graph[name] = {n for n in modules_of(path) if n in set(strip(names.values())) - {name}}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def strip(names):
    return [name.removesuffix(".__init__") for name in names]


def modules_of(path: Path) -> set[str]:
    """The modules of dmlib that a source imports: of `from a import b` a.b where it is one."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = LIBRARY.joinpath(*f"{node.module}.{alias.name}".split(".")[1:])
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                found.add(f"{node.module}.{alias.name}" if is_module else node.module)
    return found


@named
def test_no_import_hides_in_a_function_to_dodge_a_circle(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            for inner in ast.walk(node):
                assert not (
                    isinstance(inner, ast.ImportFrom) and inner.module.startswith("dmlib")
                ), f"{path.name}: {node.name}"


@named
def test_a_room_imports_no_more_from_outside_than_it_may(path):
    if part(path) != "book":
        assert outside_imports(path) <= OUTSIDE.get(part(path), {"torch", "numpy"}), path


@named
def test_only_the_book_draws(path):
    """But for `data.folder`, which reads pictures, and imports Pillow when it does so."""
    if part(path) != "book":
        reads = {"PIL"} if path.name == "folder.py" else set()
        assert not outside_imports(path) & SCREEN - reads


def code_lines(path: Path) -> int:
    """Lines that hold code: without blank lines, comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                texts |= set(range(value.lineno, value.end_lineno + 1))
    lines = path.read_text(encoding="utf-8").splitlines()
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in texts
        for number, line in enumerate(lines, 1)
    )


@named
def test_modules_stay_short(path):
    assert code_lines(path) <= LONGEST, f"{path.relative_to(LIBRARY)}: {code_lines(path)} lines"


def test_a_stranger_sees_which_files_are_the_lecture():
    flat = {p.stem for p in LIBRARY.glob("*.py") if not p.stem.startswith("_")}
    assert len(flat) <= FLAT
    assert sum(code_lines(LIBRARY / f"{name}.py") for name in flat) <= 1_900


def test_no_module_lives_in_the_book():
    for folder in ("book", "notebooks"):
        assert not list((ROOT / folder).rglob("*.py")), f"a Python module in {folder}/"


WITHOUT_SCREEN = """
import importlib, sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {screen!r}:
            raise ImportError("forbidden: " + name)
sys.meta_path.insert(0, Forbid())
import dmlib
for module in {modules!r}:
    importlib.import_module("dmlib." + module)
print("imported")
"""


def test_everything_but_the_figures_imports_without_a_screen():
    modules = sorted({part(p) for p in sources()} - {"book", "__init__"})
    code = WITHOUT_SCREEN.format(screen=SCREEN, modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "imported", done.stderr[-2000:]


COST = """
import json, time
def cost(names):
    start = time.process_time()
    for name in names:
        __import__(name)
    return time.process_time() - start
torch = cost(["torch"])
print(json.dumps([torch, cost({names!r})]))
"""


@pytest.mark.times
def test_importing_dmlib_costs_no_more_than_five_percent_over_torch():
    """CPU time in one process, torch first, then all of the core: best of three processes.

    Measured so, a busy machine slows both alike.
    """
    names = ["dmlib", *(f"dmlib.{m}" for m in sorted(set(LEVEL) - {"book"}))]
    shares = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", COST.format(names=names)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        )
        torch_seconds, ours = json.loads(done.stdout)
        shares.append(ours / torch_seconds)
        if shares[-1] <= 0.05:
            break
    print("over torch", shares)
    assert min(shares) <= 0.05
