"""The map in lora_gui/README.md: a line for every file and a file for every line, in the words of the file itself."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lora_gui"
LINE = re.compile(r"(?P<indent> *)(?P<name>\S+)(?: +(?P<words>.+))?")
LONGEST = 8  # words


def on_the_map() -> dict[str, str]:
    """Path of each line of the tree to its words; folders end in a slash."""
    tree = re.search(r"```\nlora_gui/\n(.*?)```", (PACKAGE / "README.md").read_text(encoding="utf-8"), re.S)
    assert tree, "lora_gui/README.md has no tree that begins with lora_gui/"
    found: dict[str, str] = {}
    above: list[str] = []
    for line in tree[1].splitlines():
        parsed = LINE.fullmatch(line)
        assert parsed and len(parsed["indent"]) % 2 == 0, f"not a line of the tree: {line!r}"
        depth = len(parsed["indent"]) // 2 - 1
        path = "".join(above[:depth]) + parsed["name"]
        assert path not in found, f"{path} stands twice"
        found[path] = parsed["words"] or ""
        above[depth:] = [parsed["name"]] if parsed["name"].endswith("/") else []
    return found


def on_disk() -> set[str]:
    """Every file and folder of the package; of a folder that holds data only the folder, of an empty file nothing."""
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and not _hidden(path)]
    code = {folder for path in files if path.suffix == ".py" for folder in path.relative_to(PACKAGE).parents}
    found = set()
    for path in files:
        inside = path.relative_to(PACKAGE)
        data = [folder for folder in reversed(inside.parents) if folder not in code]
        if not data and path.stat().st_size:
            found.add(inside.as_posix())
        found |= {f"{folder.as_posix()}/" for folder in (*data[:1], *code.intersection(inside.parents))}
    return found - {"./"}


def _hidden(path: Path) -> bool:
    return any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(PACKAGE).parts)


def test_every_file_of_the_package_has_a_line_and_every_line_a_file():
    known, there = on_the_map().keys(), on_disk()
    lacking, stale = sorted(there - known), sorted(known - there)
    assert not lacking, f"lora_gui/README.md has no line for: {', '.join(lacking)}"
    assert not stale, f"lora_gui/README.md has lines for what is not there: {', '.join(stale)}"


def test_each_line_of_the_map_is_short_and_says_what_the_file_says_of_itself():
    wrong = []
    for name, words in on_the_map().items():
        if not 0 < len(words.split()) <= LONGEST:
            wrong.append(f"{name}: {words!r} has not one to {LONGEST} words")
        if not name.endswith(".py"):
            continue
        before, *said = (PACKAGE / name).read_text(encoding="utf-8").split('"""', 2)
        opening = said[0].split("\n\n")[0] if said and not before else ""
        if not opening:
            wrong.append(f"{name} does not open with a sentence saying what it holds")
        if len(stems(words) & stems(opening)) < len(stems(words)) / 2:
            wrong.append(f"{name} is called {words!r}, but says of itself: {opening!r}")
    assert not wrong


def stems(text: str) -> set[str]:
    """The beginnings of the longer words of a text: what two ways of saying the same share."""
    return {word[:4].casefold() for word in re.findall(r"[^\W_]{4,}", text)}
