"""The shape of the house: who may import whom, read from the source with `ast`, lazy imports counted.

Each rule is one test over all files, and names every place that breaks it.
"""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.sources import ROOT, nodes, place, sources

GROUND = (
    "errors", "refusals", "settings", "typed", "files", "drive", "environment", "civitai_key", "facts", "framing",
    "lean", "few_pictures", "refinements", "days",
)  # fmt: skip
# wing -> the wings it may use besides itself and the ground floor
ALLOWED = {
    "ui": {"ui", "studio", "protocol"},
    "studio": {"studio", "families", "formats", "protocol"},
    "engine": {"engine", "families", "formats", "protocol"},
    "families": {"families", "formats", "protocol"},
    "formats": {"formats", "protocol"},
    "protocol": {"protocol"},
    "net": {"net", "families", "formats", "protocol"},
    "worker": {"engine", "net", "families", "protocol"},
    "__main__": {"commands", "studio"},
    "commands": {"commands", "studio", "protocol"},
    "starter": {"starter"},
    "__init__": set(),
} | {name: set(GROUND) for name in GROUND}
# package -> the only places that may import it
HOMES = {
    "gradio": ("lora_gui/ui/", "app.py"),
    "torch": ("lora_gui/engine/", "lora_gui/families/", "lora_gui/formats/", "lora_gui/starter/", "lora_gui/worker.py"),
    "onnxruntime": ("lora_gui/engine/",),
    "diffusers": ("lora_gui/engine/", "lora_gui/families/", "lora_gui/starter/"),
    "transformers": ("lora_gui/engine/", "lora_gui/families/", "lora_gui/starter/"),
    "peft": ("lora_gui/engine/", "lora_gui/families/"),
    "bitsandbytes": ("lora_gui/engine/", "lora_gui/families/"),
    "huggingface_hub": ("lora_gui/net/",),
    "httpx2": ("lora_gui/net/",),
}


@functools.cache
def imports(path: Path) -> list[str]:
    """Absolute names of everything a file imports, wherever in the file it does; type-checking imports excepted."""
    skipped = {
        id(node)
        for block in nodes(path)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    names = []
    for node in nodes(path):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def wing(path: Path) -> str:
    parts = path.relative_to(ROOT / "lora_gui").with_suffix("").parts
    return parts[0]


def test_arrows_run_strictly_down():
    inside = [(path, name) for path in sources() if path.name != "app.py" for name in imports(path)]
    rising = []
    for path, name in inside:
        target = name.split(".")[1] if name.startswith("lora_gui.") else "__version__"
        if target not in GROUND and target != "__version__" and target not in ALLOWED[wing(path)]:
            rising.append(f"{place(path)} imports {name}")
    assert len(inside) > 1000 and not rising


FACTS_ALONE = {"studio", "formats", "net"}


def test_the_studio_knows_families_by_their_facts_alone():
    apart = [(path, name) for path in sources() if FACTS_ALONE & {*path.parts} for name in imports(path)]
    inner = [f"{place(path)} imports {name}" for path, name in apart if re.match(r"lora_gui\.families\.\w+\.", name)]
    assert apart and not inner


def test_no_file_imports_itself_in_a_circle():
    modules = {module_of(path): path for path in sources() if path.name != "app.py"}
    arrows = {name: {found for one in imports(path) if (found := nearest_module(one, modules))} - {name}
              for name, path in modules.items()}  # fmt: skip
    assert not list(circles(arrows))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def nearest_module(name: str, modules: dict[str, Path]) -> str:
    """The module that an imported name is or stands in."""
    return next((found for found in (name, name.rpartition(".")[0]) if found in modules), "")


def circles(arrows: dict[str, set[str]]) -> Iterator[list[str]]:
    """Every way from a module back to it that a search from each module meets first."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> Iterator[list[str]]:
        if name in trail:
            yield [*trail[trail.index(name) :], name]
        elif name not in done:
            for target in sorted(arrows[name]):
                yield from visit(target, [*trail, name])
            done.add(name)

    for name in arrows:
        yield from visit(name, [])


def test_every_file_and_every_function_can_be_read_at_a_sitting():
    long = [place(path) for path in sources() if path.read_text(encoding="utf-8").count("\n") > 300]
    for path in sources():
        defined = [one for one in nodes(path) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
        long += [f"{place(path)}:{one.lineno} {one.name}" for one in defined if one.end_lineno - one.lineno >= 50]
    assert not long


def test_app_only_imports_the_window():
    used = {"ui", "errors", "environment"}
    assert {name.split(".")[1] for name in imports(ROOT / "app.py") if name.startswith("lora_gui.")} <= used


def test_heavy_packages_stay_where_they_belong():
    heavy = [(place(path), name) for path in sources() for name in imports(path) if name.split(".")[0] in HOMES]
    astray = [f"{where} imports {name}" for where, name in heavy if not where.startswith(HOMES[name.split(".")[0]])]
    assert heavy and not astray


def test_only_the_worker_catches_everything():
    broad = []
    for path in sources():
        for node in nodes(path):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "Exception"
                broad += [path.name] if caught in ("Exception", "BaseException") else []
    assert broad in ([], ["worker.py"])


def writes(node: ast.AST) -> bool:
    """Whether a call writes a file by itself: `open` with a writing mode, or a method that writes a whole file."""
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    modes = [a.value for a in (*node.args, *(k.value for k in node.keywords)) if isinstance(a, ast.Constant)]
    opened = name.split(".")[-1] in ("open", "fdopen") and any(m in ("w", "wb", "a", "ab", "x", "xb") for m in modes)
    whole = name.endswith((".write_text", ".write_bytes", "save_file")) and not name.startswith("files.")
    return opened or whole


def test_nothing_but_files_py_opens_a_file_for_writing():
    for path in sources():
        where = place(path)
        if where == "lora_gui/files.py" or where.startswith("lora_gui/starter/"):
            continue  # the starter's recipe writes into a work folder of its own, not into the user's studio
        if where in ("lora_gui/protocol/writer.py", "lora_gui/studio/sandbox/picture_sandbox.py"):
            continue  # their standard output, which the parent opened
        assert not [node.lineno for node in nodes(path) if writes(node)], f"{where} writes files by itself"


def test_reading_the_facts_of_families_loads_no_torch():
    code = "import sys, lora_gui.families as f; f.facts(); print(*{'torch', 'diffusers'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""
