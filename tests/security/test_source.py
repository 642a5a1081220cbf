"""The source itself: no way to run what a file or a page says, no network but where downloads are made."""

import ast
import re
from importlib.metadata import version

import pytest

from tests.sources import ROOT, nodes, place, sources

NETWORK = (  # what fetches as the user asks, the starter's recipe, and the window asking itself
    "lora_gui/net/", "lora_gui/starter/", "lora_gui/ui/server/launch.py",
)  # fmt: skip
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.startfile", "subprocess.getoutput",
    "subprocess.getstatusoutput", "torch.load", "torch.save", "torch.hub.load", "gr.load", "gr.Markdown", "yaml.load",
    "tempfile.mktemp",
}  # fmt: skip
METHODS = {"extractall", "extract", "enable_custom_model"}
MODULES = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "codeop", "telnetlib",
    "xml.etree", "xml.dom", "xml.sax",
}  # fmt: skip
NETWORKS = {"urllib.request", "requests", "aiohttp", "httpx", "httpx2", "http.client", "huggingface_hub", "ftplib"}
KEYWORDS = {"shell": False, "trust_remote_code": False, "allow_pickle": False, "weights_only": True, "share": False}
WITHOUT_WEIGHTS = ("okenizer", "cheduler", "Processor")  # of what `from_pretrained` opens
FLOORS = {"gradio": (6, 31), "torch": (2, 6), "transformers": (5, 3), "safetensors": (0, 8), "pillow": (12, 3)}


def found_in(path, inside):
    """Everything in the nodes of a file that must not be there, as `line: what`."""
    for node in inside:
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS or name.rpartition(".")[2] in METHODS:
                yield f"{line}: {name}"
        elif isinstance(node, ast.keyword) and node.arg in KEYWORDS:
            if not (isinstance(node.value, ast.Constant) and node.value.value is KEYWORDS[node.arg]):
                yield f"{line}: {node.arg}={ast.unparse(node.value)}"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            banned = MODULES if place(path).startswith(NETWORK) else MODULES | NETWORKS
            for name in names:
                if any(name == module or name.startswith(f"{module}.") for module in banned):
                    yield f"{line}: import {name}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in ("0.0.0.0", "::"):
            yield f"{line}: listens to everybody"


def test_nothing_runs_what_a_file_says_and_nothing_opens_the_door(tell):
    rules = len(CALLS | METHODS | MODULES | NETWORKS | KEYWORDS.keys()) + 1
    found = {place(path): list(found_in(path, nodes(path))) for path in sources()}
    clean = [name for name, wrong in found.items() if not wrong]
    tell(f"Source files read for {rules} ways to run or fetch what strangers say").add(len(found), len(clean))
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_what_must_not_be_there_would_be_found():
    bad = (
        "eval('1')", "import pickle", "from xml.etree import ElementTree", "x.run(a, shell=True)", "HOST = '0.0.0.0'",
        "zip.extractall(a)", "torch.load(a)", "f(trust_remote_code=flag)", "import urllib.request", "os.system(a)",
        "from huggingface_hub import snapshot_download", "app.launch(share=True)",
    )  # fmt: skip
    for line in bad:
        assert list(found_in(ROOT / "app.py", ast.walk(ast.parse(line)))), line


def test_weights_are_only_loaded_from_safetensors():
    loads = 0
    for path in (path for path in sources() if "starter" not in path.parts):  # its recipe reads what it wrote itself
        for node in nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".from_pretrained"):
                name, given = ast.unparse(node.func), {one.arg: one.value for one in node.keywords}
                if not any(word in name for word in WITHOUT_WEIGHTS):
                    safe = None in given or isinstance(given.get("use_safetensors"), ast.Constant)
                    assert safe, f"{place(path)}:{node.lineno}: {name}"
                    loads += 1
    assert loads > 1


def test_addresses_of_other_computers_stand_only_where_downloads_are_made():
    for path in [*sources(), *(ROOT / "lora_gui" / "ui").rglob("*.js"), *(ROOT / "lora_gui" / "ui").rglob("*.css")]:
        if place(path).startswith(NETWORK) or path.name in ("png.py", "guard.py", "card.py", "pages.py", "links.py"):
            continue  # words of a picture or licence, what Origin or a link is compared with, pages that a click opens
        for line in path.read_text(encoding="utf-8").splitlines():
            address = re.search(r"https?://(?!www\.w3\.org)", line)
            assert not address or line.lstrip().startswith("#"), f"{place(path)}: {line.strip()[:100]}"


@pytest.mark.parametrize("package", FLOORS)
def test_no_installed_package_is_older_than_its_last_known_hole(package):
    found = tuple(int(part) for part in re.findall(r"\d+", version(package))[:2])
    assert found >= FLOORS[package]
