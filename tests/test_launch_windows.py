"""launch.bat, its whole flow under Wine's cmd with a stub for Python; what only Windows has is not tried."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STUB = ROOT / "tests" / "windows" / "python.c"
COMPILER = "x86_64-w64-mingw32-gcc"
MISSING = [tool for tool in ("wine", "wineboot", COMPILER) if not shutil.which(tool)]
LISTS = ("requirements", "tests/requirements")

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING} (Debian: wine, gcc-mingw-w64-x86-64)"),
]


def windows(path: Path) -> str:
    return "Z:" + str(path).replace("/", "\\")


@pytest.fixture(scope="module")
def wine(tmp_path_factory):
    """The environment of a Wine of our own, and the stub."""
    folder = tmp_path_factory.mktemp("wine")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "WINEPREFIX": str(folder / "prefix"), "WINEDEBUG": "-all",
        "DISPLAY": "",
    }  # fmt: skip
    subprocess.run(["wineboot", "-i"], env=environment, capture_output=True, check=True, timeout=300)
    subprocess.run([COMPILER, "-O1", "-o", str(folder / "python.exe"), str(STUB)], check=True, timeout=120)
    yield environment, folder / "python.exe"
    subprocess.run(["wineserver", "-k"], env=environment, capture_output=True, check=False, timeout=60)


class Launcher:
    """A copy of launch.bat in a folder with spaces; `start` gives its exit code, what it says and what it asks for."""

    def __init__(self, wine, tmp_path: Path) -> None:
        self._environment, self._stub = wine
        self.folder, self.path = tmp_path / "my apps (1)", tmp_path / "bin"
        (self.folder / "tests").mkdir(parents=True)
        self.path.mkdir()
        text = (ROOT / "launch.bat").read_text(encoding="ascii")
        (self.folder / "launch.bat").write_bytes(text.replace("\n", "\r\n").encode("ascii"))
        for name in LISTS:
            (self.folder / f"{name}.txt").write_text("thing==1\n")
            (self.folder / f"{name}.lock").write_text("thing==1 --hash=sha256:00\n")
        shutil.copy(self._stub, self.folder / "fc.exe")
        self.give_python("python")

    def give_python(self, name: str) -> None:
        for old in self.path.iterdir():
            old.unlink()
        if name:
            shutil.copy(self._stub, self.path / f"{name}.exe")

    def start(self, arguments: str = "", inside: bool = False, **variables: str) -> tuple[int, str, list[str]]:
        """Called from another folder by another batch file, or from its own, with nobody at the keyboard."""
        outside = self.path.parent / "outside"
        outside.mkdir(exist_ok=True)
        record = outside / "asked"
        record.write_text("")
        call = f'@call "{windows(self.folder / "launch.bat")}" {arguments}\r\n@exit /b %errorlevel%\r\n'
        (outside / "run.bat").write_text(call)
        environment = self._environment | {"WINEPATH": windows(self.path), "RECORD": windows(record)} | variables
        file, folder = ("launch.bat", self.folder) if inside else ("run.bat", outside)
        shown = subprocess.run(
            ["wine", "cmd", "/c", file], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        return shown.returncode, shown.stdout.decode("utf-8", "replace"), record.read_text().splitlines()


@pytest.fixture
def launcher(wine, tmp_path):
    return Launcher(wine, tmp_path)


def names(asked: list[str]) -> list[str]:
    return [line.split("\t")[0] for line in asked]


def test_the_first_start_installs_what_the_lock_says_and_the_second_only_opens_the_window(launcher):
    code, said, asked = launcher.start('--port 7999 "a b"')
    assert code == 0 and "Installing what requirements.lock lists" in said
    assert names(asked) == [
        "-m|venv|.venv",
        "-m|pip|config|list",
        "-m|pip|install|--quiet|--disable-pip-version-check|uv|-c|requirements.txt",
        r"-m|uv|pip|install|--quiet|--python|.venv\Scripts\python.exe|-r|requirements.txt|-c|requirements.lock",
        "app.py|--port|7999|a b",
    ]
    assert asked[3].endswith("\tUV_TORCH_BACKEND=auto") and "\t" not in asked[4]
    assert names(launcher.start()[2]) == ["app.py"]
    (launcher.folder / "requirements.lock").write_text("thing==2 --hash=sha256:11\n")
    assert len(launcher.start()[2]) == 4 and len(launcher.start()[2]) == 1


@pytest.mark.parametrize("old", [False, True])
def test_without_a_python_that_will_do_it_says_which_one_and_where_to_get_it(launcher, old):
    if not old:
        launcher.give_python("")
    code, said, asked = launcher.start(**({"STUB_OLD": "1"} if old else {}))
    assert code == 1 and "found none" in said and "python.org" in said and not asked
    assert not (launcher.folder / ".venv").exists()


def test_the_launcher_of_pythons_will_do_too(launcher):
    launcher.give_python("py")
    asked = launcher.start()[2]
    assert names(asked)[0] == "-3.12|-m|venv|.venv"


@pytest.mark.parametrize("step", ["pip", "uv"])
def test_an_installation_that_was_cut_short_is_said_and_gone_on_with_at_the_next_start(launcher, step):
    code, said, asked = launcher.start(STUB_FAILS=step)
    assert code == 1 and "Installing did not work." in said and "app.py" not in names(asked)
    code, said, asked = launcher.start()
    assert code == 0 and "Installing what" in said
    assert names(asked)[-1] == "app.py" and "-m|venv|.venv" not in names(asked)


def test_a_folder_that_cannot_be_written_to_is_said(launcher):
    code, said, _ = launcher.start(STUB_READ_ONLY="1")
    assert code == 1 and "could not be made" in said and "my apps (1)" in said


def test_the_demonstration_and_the_tests_get_all_their_options(launcher):
    assert names(launcher.start('--demo --out "a & b"')[2])[-1] == "-m|lora_gui|demo|--json|--out|a & b"
    asked = names(launcher.start("--test a b c d e f")[2])
    assert r"-r|tests\requirements.txt|-c|tests\requirements.lock" in asked[-2]
    assert asked[-1].startswith("-m|pytest|") and asked[-1].endswith("|a|b|c|d|e|f")
    assert len(launcher.start("--test")[2]) == 1


def test_how_the_window_ended_is_told_on(launcher):
    assert launcher.start(STUB_CODE="7")[0] == 1  # Wine's `call` knows of no other code
    assert launcher.start(inside=True, STUB_CODE="7")[0] == 7


def test_settings_of_other_pythons_are_left_out_and_a_mirror_is_kept(launcher):
    theirs = {"PYTHONPATH": "x", "PYTHONHOME": "y", "PIP_TARGET": "t", "PIP_USER": "1", "UV_CONSTRAINT": "c"}
    mirror = "https://u:p%40q@mirror/simple?a=1"
    asked = launcher.start(**theirs, PIP_INDEX_URL=mirror)[2]
    assert not [line for line in asked if "PYTHON" in line]
    assert not [line for line in asked[2:4] if "TARGET" in line or "USER" in line or "CONSTRAINT" in line]
    for line in asked[2:4]:
        assert f"\tUV_INDEX_URL={mirror}\tPIP_INDEX_URL={mirror}" in line


def test_of_an_index_of_uv_pip_is_told_no_name(launcher):
    mirror = "https://u:p%40q@mirror/simple?a=1"
    for line in launcher.start(UV_DEFAULT_INDEX=f"corp={mirror}")[2][2:4]:
        assert f"\tPIP_INDEX_URL={mirror}" in line and f"\tUV_DEFAULT_INDEX=corp={mirror}" in line


def test_a_mirror_of_pip_ini_is_kept(launcher):
    asked = launcher.start(STUB_CONFIG="global.index-url='https://mirror/simple?a=1&b=2'")[2]
    assert "\tPIP_INDEX_URL=https://mirror/simple?a=1&b=2" in asked[2]
    assert "\tUV_INDEX_URL=https://mirror/simple?a=1&b=2" in asked[3]


def test_what_lies_at_hand_is_taken_without_any_index(launcher):
    assert names(launcher.start(PIP_NO_INDEX="1")[2])[3].endswith("requirements.lock|--no-index")
    (launcher.folder / ".venv/installed-requirements").unlink()
    assert names(launcher.start(PIP_NO_INDEX="false")[2])[2].endswith("requirements.lock")


def test_past_a_proxy_that_does_not_do_it_is_tried_once_more_and_said(launcher):
    _, said, asked = launcher.start(STUB_FAILS="pip", HTTPS_PROXY="socks5://127.0.0.1:9")
    assert "once more without" in said
    assert ["HTTPS_PROXY" in line for line in asked if line.startswith("-m|pip|install")] == [True, False]


def test_a_studio_that_is_named_relatively_is_meant_where_it_was_typed(launcher):
    asked = launcher.start(LORA_GUI_HOME="my studio")[2]
    assert asked[-1].endswith(r"outside\my studio")
    assert launcher.start(LORA_GUI_HOME="~/x")[2][-1].endswith("LORA_GUI_HOME=~/x")


def test_away_from_its_folder_it_says_what_to_do(launcher):
    (launcher.folder / "requirements.txt").unlink()
    code, said, asked = launcher.start()
    assert code == 1 and "shortcut" in said and not asked
