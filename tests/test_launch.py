"""The launchers and what they install, as far as a test can go without a package registry."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import app

ROOT = Path(__file__).parent.parent
TOOLS = ("bash", "dirname", "cat", "cmp", "tr", "rm", "echo", "readlink", "sort", "env")
LISTS = ("requirements", "tests/requirements")
# Stands in for .venv/bin/python: writes down what it is asked to run and with which settings of uv. It finds no module.
RECORDER = """#!/bin/bash
[ "$1" = -c ] && exit 0
[ "$3" = config ] && { cat "$CONFIG"; exit; }
echo "$* (torch: ${UV_TORCH_BACKEND:-}, wheels: ${UV_FIND_LINKS:-})" >> "$RECORD"
env > "$RECORD-${2##*/}"
[ "$2" != pip ] || [ -z "${OFFLINE:-}" ]
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="launch.sh is for Linux and macOS")


@pytest.fixture
def copy(tmp_path):
    """The launcher alone in a folder with spaces in its name, and a search path on which there is no Python."""
    folder, path = tmp_path / "my apps & things", tmp_path / "bin"
    (folder / "tests").mkdir(parents=True)
    path.mkdir()
    shutil.copy(ROOT / "launch.sh", folder)
    for name in LISTS:
        (folder / f"{name}.txt").write_text("nothing-of-this-name==0\n")
        (folder / f"{name}.lock").write_text("nothing-of-this-name==0 --hash=sha256:00\n")
    for tool in TOOLS:
        (path / tool).symlink_to(shutil.which(tool))
    return folder, path


@pytest.fixture
def recorded(copy):
    """The same with an environment whose Python only writes down what it was asked for."""
    folder, path = copy
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").write_text(RECORDER)
    (folder / ".venv/bin/python").chmod(0o755)

    def start(*arguments: str, **variables: str) -> tuple[subprocess.CompletedProcess, list[str]]:
        record = path.parent / "asked"
        record.write_text("")
        (path.parent / "conf").touch()
        given = {"RECORD": str(record), "CONFIG": str(path.parent / "conf"), **variables}
        shown = launch(folder, path, *arguments, **given)
        return shown, record.read_text().splitlines()

    return folder, start


def given_to(folder: Path, what: str) -> dict[str, str]:
    """The environment that `pip`, `uv` or `app.py` was last started with."""
    lines = (folder.parent / f"asked-{what}").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def launch(folder: Path, path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", str(folder / "launch.sh"), *arguments],
        env={"PATH": str(path), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_python_it_says_which_one_is_needed_and_where_to_get_it(copy):
    shown = launch(*copy)
    assert shown.returncode != 0
    assert "Python 3.11" in shown.stderr
    assert "python.org" in shown.stderr


def test_a_python_that_is_too_old_is_not_taken(copy):
    folder, path = copy
    (path / "python3").write_text("#!/bin/bash\nexit 1\n")
    (path / "python3").chmod(0o755)
    shown = launch(folder, path)
    assert shown.returncode != 0
    assert "found none" in shown.stderr
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("chip, version, said", [
    ("", "13.7", "needs a Mac with Apple's own chip"), ("1", "13.7.1", "this is macOS 13.7.1"),
    ("1", "14.2", "3.14 for Apple's own chip with"),
])  # fmt: skip
def test_on_a_mac_it_says_what_torch_needs(copy, chip, version, said):
    folder, path = copy
    for name, answer in (("sysctl", chip), ("sw_vers", version)):
        (path / name).write_text(f"#!/bin/bash\necho {answer}\n")
        (path / name).chmod(0o755)
    shown = launch(folder, path, OSTYPE="darwin23")
    assert shown.returncode != 0 and said in shown.stderr and not (folder / ".venv").exists()


def test_what_is_installed_already_is_not_installed_again_and_the_options_reach_the_app(copy):
    folder, path = copy
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to(sys.executable)
    listed = (folder / "requirements.txt").read_text() + (folder / "requirements.lock").read_text()
    (folder / ".venv/installed-requirements").write_text(listed)
    (folder / "app.py").write_text("import sys; print(sys.argv[1:])")
    assert launch(folder, path, "--port", "7999", "--no-browser").stdout.strip() == "['--port', '7999', '--no-browser']"
    (folder / "lora_gui").mkdir()
    (folder / "lora_gui/__main__.py").write_text("import os, sys; print(sys.argv[1:], os.environ['LORA_GUI_FROM'])")
    for typed in (["--out", "a b"], ["--json", "--out=a b"], []):
        assert launch(folder, path, "--demo", *typed).stdout.strip() == f"{['demo', '--json', *typed]} {Path.cwd()}"


def test_uv_installs_what_the_lock_file_says_once_for_each_content_of_it(recorded):
    folder, start = recorded
    shown, asked = start("--no-browser")
    assert shown.returncode == 0, shown.stderr
    assert "-m pip install" in asked[0] and "uv -c requirements.txt" in asked[0]
    assert "-m uv pip install" in asked[1] and "-r requirements.txt -c requirements.lock" in asked[1]
    assert [line.split(" (")[0] for line in asked[2:]] == ["app.py --no-browser"]
    assert [line.split(" (")[0] for line in start()[1]] == ["app.py"]
    (folder / "requirements.lock").write_text("nothing-of-this-name==1 --hash=sha256:11\n")
    assert len(start()[1]) == 3 and len(start()[1]) == 1


def test_the_tests_have_a_lock_file_of_their_own(recorded):
    _, start = recorded
    asked = start("--test", "tests/test_launch.py")[1]
    assert "-r tests/requirements.txt -c tests/requirements.lock" in asked[3]
    assert asked[4].startswith("-m pytest") and "tests/test_launch.py" in asked[4]
    assert len(start("--test")[1]) == 1


@pytest.mark.parametrize(
    ("variables", "means"),
    [
        ({}, "(torch: auto, wheels: )"),
        ({"UV_TORCH_BACKEND": "cpu"}, "(torch: cpu, wheels: )"),
        ({"OSTYPE": "darwin23"}, "(torch: , wheels: )"),
        ({"PIP_FIND_LINKS": "/wheels here"}, "(torch: , wheels: /wheels here)"),
        ({"UV_FIND_LINKS": "/mine", "PIP_FIND_LINKS": "/theirs"}, "(torch: , wheels: /mine)"),
    ],
)
def test_torch_is_the_build_for_this_card_unless_wheels_lie_at_hand(recorded, variables, means):
    _, start = recorded
    asked = start(**variables)[1]
    assert asked[1].endswith(means)
    own = f"(torch: {variables.get('UV_TORCH_BACKEND', '')}, wheels: {variables.get('UV_FIND_LINKS', '')})"
    assert asked[2].endswith(own)  # the app gets its environment as it was


def test_a_failed_installation_is_said_in_a_sentence_and_tried_again_the_next_time(recorded):
    _, start = recorded
    for _ in range(2):
        shown, asked = start(OFFLINE="1")
        assert shown.returncode != 0 and len(asked) == 1
        assert "Installing did not work." in shown.stderr


def test_a_disk_that_is_full_at_the_end_of_the_installation_is_said(recorded):
    folder, start = recorded
    (folder / ".venv/installed-requirements").mkdir()  # as little to be written
    shown, asked = start()
    assert shown.returncode != 0 and "the free disk space" in shown.stderr and len(asked) == 2


# Answers as uv, which leaves half a package where the disk is full, and takes it for installed the next time.
HALF_DONE = f"""#!/bin/bash
case "$2" in *dist-info*) exec '{sys.executable}' "$@" ;; uv) cd .venv/lib/python3.11/site-packages ;; *) exit 0 ;; esac
[ -d late.dist-info ] || {{ {shutil.which("mkdir")} late.dist-info; exit 1; }}
"""


def test_what_was_cut_short_as_it_was_unpacked_does_not_count_as_installed(recorded):
    folder, start = recorded
    (folder / ".venv/bin/python").write_text(HALF_DONE)
    lib = folder / ".venv/lib/python3.11/site-packages"
    for name, listed in (("whole", "../site-packages/one.py,,\none.pyc,,"), ("cut", "one.py,,\n\ntwo.py,,")):
        (lib / f"{name}.dist-info").mkdir(parents=True)
        (lib / f"{name}.dist-info/RECORD").write_text(listed)
    (lib / "one.py").touch()
    shown = start()[0]
    assert shown.returncode != 0 and "Installing did not work." in shown.stderr
    assert {path.name for path in lib.glob("*.dist-info")} == {"whole.dist-info", "late.dist-info"}
    (folder / ".venv/lib/python3.11").rename(folder / ".venv/Lib")
    code = re.search(r'^:forget\n"%PY%" -c "(.+)"$', (ROOT / "launch.bat").read_text(encoding="ascii"), re.M)[1]
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    assert [path.name for path in folder.glob(".venv/Lib/site-packages/*.dist-info")] == ["whole.dist-info"]


ASTRAY = {
    "PIP_USER": "1", "PIP_TARGET": "t", "PIP_PREFIX": "p", "PIP_ROOT": "r", "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_REQUIRE_HASHES": "1", "PIP_CONSTRAINT": "/none", "PIP_NO_BINARY": ":all:", "PIP_DRY_RUN": "1",
    "UV_SYSTEM_PYTHON": "1", "UV_REQUIRE_HASHES": "1", "UV_CONSTRAINT": "/none", "UV_EXCLUDE_NEWER": "2020-01-01",
    "UV_WORKING_DIR": "/", "UV_PYTHON": "3.8", "UV_RESOLUTION": "lowest", "UV_NO_BINARY": "1",
}  # fmt: skip
OTHER_PYTHONS = {
    "PYTHONPATH": "/x", "PYTHONHOME": "/x", "PYTHONSTARTUP": "/x", "PYTHONUSERBASE": "/x", "PYTHONSAFEPATH": "1",
    "PYTHONWARNINGS": "error", "PYTHONINSPECT": "1", "PYTHON_GIL": "0", "__PYVENV_LAUNCHER__": "/x",
}  # fmt: skip


def test_settings_that_would_put_the_packages_elsewhere_or_refuse_them_are_left_out(recorded):
    folder, start = recorded
    (folder.parent / "conf").write_text("global.user='true'\ninstall.target='/x'\nglobal.require-hashes='1'\n")
    assert start(**ASTRAY)[0].returncode == 0
    for what in ("pip", "uv"):
        given = given_to(folder, what)
        assert not given.keys() & ASTRAY.keys() and given["PIP_CONFIG_FILE"] == "/dev/null"
    assert given_to(folder, "").items() >= ASTRAY.items()  # what the app is started with is nobody's business


def test_what_is_set_for_other_pythons_reaches_neither_the_installation_nor_the_app(recorded):
    folder, start = recorded
    assert start(**OTHER_PYTHONS, PYTHON_KEYRING_BACKEND="mine")[0].returncode == 0
    for what in ("pip", "uv", ""):
        given = given_to(folder, what)
        assert not given.keys() & OTHER_PYTHONS.keys()
        assert given["PYTHONNOUSERSITE"] == "1" and given["PYTHON_KEYRING_BACKEND"] == "mine"


@pytest.mark.parametrize(
    ("variables", "conf", "pip", "uv"),
    [
        ({"PIP_INDEX_URL": "https://m/s?a=1"}, "", {"PIP_INDEX_URL": "https://m/s?a=1"}, {"UV_INDEX_URL": "https://m/s?a=1"}),
        ({"UV_INDEX_URL": "https://m"}, "", {"PIP_INDEX_URL": "https://m"}, {"UV_INDEX_URL": "https://m"}),
        ({"UV_DEFAULT_INDEX": "corp=https://m"}, "", {"PIP_INDEX_URL": "https://m"}, {"UV_DEFAULT_INDEX": "corp=https://m"}),
        ({}, "global.index-url='https://m'", {"PIP_INDEX_URL": "https://m"}, {"UV_INDEX_URL": "https://m"}),
        ({}, "global.index-url='https://g'\ninstall.index-url='https://i'", {"PIP_INDEX_URL": "https://i"}, {}),
        ({"PIP_INDEX_URL": "https://v"}, "global.index-url='https://g'", {"PIP_INDEX_URL": "https://v"}, {}),
        ({}, "global.trusted-host='\\na\\nb'", {"PIP_TRUSTED_HOST": " a b"}, {"UV_INSECURE_HOST": " a b"}),
        ({"PIP_PROXY": "http://p:1"}, "", {}, {"HTTPS_PROXY": "http://p:1"}),
        ({"HTTPS_PROXY": "http://p:1"}, "", {"HTTPS_PROXY": "http://p:1"}, {"HTTPS_PROXY": "http://p:1"}),
        ({"PIP_CERT": "/c.pem"}, "", {"PIP_CERT": "/c.pem"}, {"SSL_CERT_FILE": "/c.pem"}),
        ({"UV_INDEX_CORP_PASSWORD": "s"}, "", {}, {"UV_INDEX_CORP_PASSWORD": "s"}),
    ],
)  # fmt: skip
def test_where_from_and_how_to_download_is_as_the_user_says(recorded, variables, conf, pip, uv):
    folder, start = recorded
    (folder.parent / "conf").write_text(conf)
    assert start(**variables)[0].returncode == 0
    assert given_to(folder, "pip").items() >= pip.items()
    assert given_to(folder, "uv").items() >= uv.items()


@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy", "HTTP_PROXY"])
def test_where_a_proxy_does_not_do_it_once_more_is_tried_without_and_said(recorded, name):
    folder, start = recorded
    shown, asked = start(OFFLINE="1", **{name: "socks5://127.0.0.1:9"})
    assert shown.returncode != 0 and len(asked) == 2
    assert name in shown.stderr and "once more without" in shown.stderr
    assert name not in given_to(folder, "pip")


def test_links_to_links_lead_to_the_launcher_from_wherever_it_is_started(recorded, tmp_path):
    folder, _ = recorded
    (tmp_path / "one").symlink_to(folder / "launch.sh")
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "far" / "two").symlink_to("../one")
    (tmp_path / "far" / "away" / "lora-studio").symlink_to("../two")
    (tmp_path / "asked").write_text("")
    (tmp_path / "conf").touch()
    shown = subprocess.run(
        ["bash", "away/lora-studio"], cwd=tmp_path / "far", capture_output=True, text=True, check=False,
        env={
            "PATH": str(tmp_path / "bin"), "RECORD": str(tmp_path / "asked"), "CONFIG": str(tmp_path / "conf"),
            "CDPATH": f"/:{tmp_path}", "LORA_GUI_HOME": "my studio",
        },
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "asked").read_text().splitlines()[-1].startswith("app.py")
    given = given_to(folder, "")
    assert Path(given["PWD"]) == folder.resolve()
    assert given["LORA_GUI_HOME"] == str(tmp_path / "far" / "my studio")


def test_without_a_lock_file_what_is_installed_is_said(recorded):
    folder, start = recorded
    (folder / "requirements.lock").unlink()
    shown, asked = start()
    assert shown.returncode == 0 and "requirements.lock is not there" in shown.stderr
    assert "requirements.lock" not in asked[1]


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh"])
def test_started_by_another_shell_it_goes_on_as_bash_or_says_so(recorded, shell):
    folder, _ = recorded
    program, *options = shell.split()
    if not shutil.which(program):
        pytest.skip(f"{program} is not here")
    (folder.parent / "asked").write_text("")
    (folder.parent / "conf").touch()
    given = {"RECORD": str(folder.parent / "asked"), "CONFIG": str(folder.parent / "conf")}

    def start(path: Path) -> subprocess.CompletedProcess:
        command = [shutil.which(program), *options, str(folder / "launch.sh"), "a b"]
        return subprocess.run(command, env=given | {"PATH": str(path)}, capture_output=True, text=True, timeout=60)

    shown = start(folder.parent / "bin")
    assert shown.returncode == 0, shown.stderr
    assert (folder.parent / "asked").read_text().splitlines()[-1].startswith("app.py a b (")
    if program != "bash":
        assert start(folder).stderr.strip().endswith("Install bash and start again.")


def test_a_folder_in_which_no_environment_can_be_made_is_said(copy):
    folder, path = copy
    (path / "python3").write_text('#!/bin/bash\n[ "$1" = -c ] && exit 0\nexit 1\n')
    (path / "python3").chmod(0o755)
    shown = launch(folder, path)
    assert shown.returncode != 0 and "could not be made" in shown.stderr and str(folder) in shown.stderr


def test_an_environment_of_a_python_that_will_not_do_is_made_anew(recorded):
    folder, start = recorded
    (folder.parent / "bin/python3").write_text('#!/bin/bash\n[ "$1" = -c ] || echo "$@" >> "$RECORD"\n')
    (folder.parent / "bin/python3").chmod(0o755)
    old = RECORDER.replace("exit 0", "{ case $2 in *version_info*) exit 1; esac; exit 0; }", 1)
    (folder / ".venv/bin/python").write_text(old)
    assert start()[1] == ["-m venv .venv"]


def test_away_from_its_folder_it_says_what_to_do_and_makes_nothing(recorded):
    folder, start = recorded
    (folder / "requirements.txt").unlink()
    shown, asked = start()
    assert shown.returncode == 1 and "make a link to it" in shown.stderr and not asked


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99" * 3000])
def test_a_port_that_there_cannot_be_is_said(port, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["app.py", "--port", port])
    with pytest.raises(SystemExit, match="2"):
        app.main()
    assert "a port is a number from 1 to 65535" in capsys.readouterr().err


# What bash learnt after 3.2, which is the one of macOS; and what its other tools do not know.
NEWER = (
    r"\bmapfile\b", r"\breadarray\b", r"\bcoproc\b", r"declare -[gAn]", r"local -[An]", r"\$\{\w+(\[.\])?(,|\^)",
    r"\|&", r"&>>", r";&", r";;&", r"\[\[? -v ", r"\$\{\w+@", r"wait -n", r"\{\w+\}[<>]",
    r"globstar|lastpipe|inherit_errexit",
    r"BASHPID|EPOCH|SRANDOM", r"read -[A-Za-z]*[Ni]", r"readlink -[a-z]", r"\brealpath\b", r"sed -[a-z]*i",
    r"\$\{\w+:[^}-]*:-\d",
    r"\w+\[@\]", r"\bsort -V", r"cp -[a-z]*t", r"\{\d+\.\.\d+\.\.", r"printf .*%\(",
)  # fmt: skip


def test_the_launcher_keeps_to_the_bash_of_macos():
    text = (ROOT / "launch.sh").read_text(encoding="utf-8")
    assert [pattern for pattern in NEWER if re.search(pattern, text)] == []
    found = [name for name in ("bash-3.2", "bash32", "/bin/bash") if shutil.which(name)]
    for name in found:
        assert subprocess.run([name, "-n", str(ROOT / "launch.sh")], check=False).returncode == 0, name


def test_the_windows_launcher_knows_the_same_options_and_installs_in_the_same_way():
    text = (ROOT / "launch.bat").read_text(encoding="ascii")
    for word in ("--demo", "--test", "app.py", "python.org", "ensurepip", "%~1.lock", "UV_FIND_LINKS"):
        assert word in text
    assert '"UV_TORCH_BACKEND=auto"' in text
    shell = (ROOT / "launch.sh").read_text(encoding="utf-8")
    from_lock = r"-m uv pip install .*--python \S+ -r \S+ (\$\{lock:\+)?-c \S+"
    for command in (r"-m pip install .*uv -c requirements.txt", from_lock):
        assert re.search(command, text) and re.search(command, shell), command


@pytest.mark.parametrize("name", LISTS)
def test_a_lock_file_pins_what_its_list_names_with_hashes_and_names_no_place(name):
    text = (ROOT / f"{name}.lock").read_text(encoding="utf-8")
    locked = locks(name)
    for package, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / f"{name}.txt").read_text(encoding="utf-8"), re.M):
        if package != "torch":  # its build is another on every kind of card, so it has no one hash
            assert locked[package.lower().replace("_", "-")] == {version}, f"{name}.lock is older than {name}.txt"
    assert "torch" not in locked and not [package for package in locked if package.startswith("nvidia-cu")]
    assert "://" not in text and "index-url" not in text
    for entry in re.split(r"\n(?=\S)", text):
        assert entry.startswith("#") or "--hash=sha256:" in entry, entry


def test_the_two_lock_files_agree():
    app, tests = locks("requirements"), locks("tests/requirements")
    assert not {package for package in app.keys() & tests.keys() if not tests[package] <= app[package]}


def locks(name: str) -> dict[str, set[str]]:
    """The versions of each package in a lock file; several where they differ between Pythons or systems."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / f"{name}.lock").read_text(encoding="utf-8"), re.M):
        found.setdefault(package, set()).add(version)
    return found
