"""The house: rooms that know only what is shared, no import circles, folders that can be looked through."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {  # as they install
    "spikeseq": ROOT / "spikeseq",
    "spikeseq.recipes": ROOT / "recipes",
    "spikeseq.tokenizers": ROOT / "tokenizers",
    "spikeseq.evaluation": ROOT / "evaluation",
}
SHARED = {"shared", "shipped", "command", "configs"}
ROOMS = sorted(
    path.name
    for path in (ROOT / "recipes").iterdir()
    if (path / "__init__.py").exists() and path.name not in SHARED
)
MOST_FILES = 20
GENERIC = [
    *(ROOT / "recipes").glob("*.py"),
    *(ROOT / "recipes" / "shared").glob("*.py"),
    *(ROOT / "recipes" / "command").glob("*.py"),
    *(p for p in (ROOT / "evaluation").rglob("*.py") if not {"bench", "reliability"} & {*p.parts}),
]  # benchmarks time networks that they name; reliability damages the files of every room


def modules():
    """Every module of the project by its name, and its file."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [part for part in path.relative_to(folder).with_suffix("").parts if part != "__init__"]
            found[".".join([package, *parts])] = path
    return found


MODULES = modules()


def imported(name):
    """The project's modules that a module imports, in functions too, but for the checker of types."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            # `from package import name` is of the module `package.name` where there is one.
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in MODULES else base)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return {one for one in found if one in MODULES and one != name}


def room_of(name):
    parts = name.split(".")
    return parts[2] if parts[:2] == ["spikeseq", "recipes"] and len(parts) > 3 else None


def test_rooms_are_found():
    assert {"gestures", "images", "text", "translation"} <= set(ROOMS)


def test_no_room_imports_another():
    wrong = [
        f"{name} imports {other}; move what both use to recipes/shared"
        for name in MODULES
        if room_of(name) in ROOMS
        for other in imported(name)
        if room_of(other) in ROOMS and room_of(other) != room_of(name)
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_generic_imports_a_room():
    names = {str(path): name for name, path in MODULES.items()}
    wrong = [
        f"{names[str(path)]} imports {other}; ask the recipe instead (recipes/recipe.py)"
        for path in GENERIC
        for other in imported(names[str(path)])
        if room_of(other) in ROOMS
    ]
    assert not wrong, "\n".join(wrong)


def strings(path):
    """The strings of a file, without those that only document it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.value


def test_nothing_generic_names_a_recipe():
    from spikeseq.recipes.registry import RECIPES

    wrong = [
        f"{path.relative_to(ROOT)} names {text!r}; ask the recipe instead (recipes/recipe.py)"
        for path in GENERIC
        if path.name != "registry.py"
        for text in strings(path)
        if text in RECIPES
    ]
    assert not wrong, "\n".join(wrong)


def circles(edges):
    """Modules that import each other, however far around: strongly connected parts (Tarjan, 1972)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(part) > 1:
                found.append(sorted(part))

    for node in edges:
        if node not in index:
            visit(node)
    return found


@pytest.mark.parametrize(
    "edges, wanted",
    [
        ({"a": "b", "b": "c", "c": ""}, []),
        ({"a": "b", "b": "c", "c": "a", "d": "a"}, [["a", "b", "c"]]),
        ({"a": "b", "b": "a", "c": "d", "d": "c"}, [["a", "b"], ["c", "d"]]),
    ],
)
def test_circles_are_found(edges, wanted):
    assert circles(edges) == wanted


def test_no_modules_import_each_other():
    found = circles({name: sorted(imported(name)) for name in MODULES})
    assert not found, "import circles: " + "; ".join(" - ".join(circle) for circle in found)


def test_folders_can_be_looked_through():
    """No folder of source files, C++ and CUDA among them, has more than twenty."""
    full = []
    for package in (*PACKAGES.values(), ROOT / "examples"):
        for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
            sources = [p.name for p in folder.glob("*") if p.suffix in {".py", ".cpp", ".cu", ".h", ".cuh"}]
            if len(sources) > MOST_FILES:
                full.append(f"{folder.relative_to(ROOT)}: {len(sources)} source files; at most {MOST_FILES}")
    assert not full, "\n".join(full)
