"""The source of the app, parsed, for the tests that read it."""

import ast
import functools
import gc
from pathlib import Path

ROOT = Path(__file__).parent.parent


@functools.cache
def sources() -> list[Path]:
    """Listed once, as they are read once."""
    return [ROOT / "app.py", *sorted((ROOT / "lora_gui").rglob("*.py"))]


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def _read() -> dict[Path, list[ast.AST]]:
    """Some hundred thousand objects, which the collector would look through again and again while they are made."""
    gc.disable()
    found = {path: list(ast.walk(ast.parse(path.read_text(encoding="utf-8")))) for path in sources()}
    gc.freeze()
    gc.enable()
    return found


def nodes(path: Path) -> list[ast.AST]:
    """Every node of a file of the app, those further in behind those around them."""
    return _read()[path]
