"""The command line: what it prints, what it refuses, and the whole way once with the real worker on a tiny base."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import app
from lora_gui import __main__ as cli
from lora_gui import files
from lora_gui.commands import draw
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process, runs
from tests import forkserver, tiny

ROOT = Path(__file__).parent.parent
QUICK = tuple(
    part
    for pair in (
        "steps=4", "rank=4", "alpha=2", "learning_rate=0.05", "batch_size=2", "resolution=64", "precision=fp32",
        "optimizer=adamw", "sample_every=0", "warmup_steps=0",
    )
    for part in ("--set", pair)
)  # fmt: skip
UNRULY = (sys.executable, str(ROOT / "tests" / "studio" / "tasks" / "unruly_worker.py"))


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "studio"))
    return Studio.default()


@pytest.fixture
def command(capsys):
    def run(*arguments: str) -> tuple[int, dict]:
        code = cli.main([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def folder(tmp_path):
    tiny.pictures(tmp_path / "some pictures", count=2)
    return tmp_path / "some pictures"


def train(folder, **changes):
    options = {"pictures": str(folder), "trigger": "zxy_style", "name": "cat", "base": "starter"} | changes
    return "train", *(part for key, value in options.items() for part in (f"--{key}", value))


def test_train_inspect_draw_and_delete_with_the_real_worker(studio, command, base, folder, tmp_path, monkeypatch):
    files.write_text(studio.presets / "mine.toml", "[card.24.all]\nmin_snr_gamma = 3\n")
    code, trained = command(*train(folder, base=str(base), preset="mine", vram="26"), *QUICK)
    assert json.loads((Path(trained["run"]) / "job.json").read_text())["settings"]["min_snr_gamma"] == 3
    assert code == 0 and trained.keys() >= {"lora", "run", "steps", "sha256", "seconds"}
    assert trained["steps"] == 4 and Path(trained["lora"]) == studio.loras / "cat.safetensors"

    code, told = command("inspect", trained["lora"])
    assert code == 0 and (told["family"], told["dialect"], told["rank"], told["alpha"]) == ("sd1", "kohya", 4, 2.0)
    assert told["trigger"] == "zxy_style" and told["finite"] is True

    size = ("--set", "width=64", "--set", "height=64", "--set", "steps=2")
    code, drawn = command("draw", "--base", str(base), "--prompt", "zxy_style thing", "--lora", "cat:0.8",
                          "--seed", "1", "--count", "2", "--out", str(tmp_path / "out"), *size)  # fmt: skip
    assert code == 0 and len(drawn["drawings"]) == 2 and drawn["seconds"] > 0
    for path in drawn["drawings"]:
        with Image.open(path) as image:
            assert image.format == "PNG" and "<lora:cat:0.8>" in image.info["parameters"]
    assert runs.running(studio) is None

    code, gone = command("delete", "cat")
    assert code == 0 and Path(gone["in_the_bin"]).name == "cat.safetensors" and not Path(trained["lora"]).exists()
    assert command("delete", "dog")[1]["error"] == "There is no LoRA 'dog'."


def test_a_disk_that_is_full_at_publishing_is_a_sentence_and_what_was_learnt_is_kept(
    studio, command, base, folder, monkeypatch
):
    full = forkserver.command(str(ROOT / "tests" / "studio" / "tasks" / "full_disk_worker.py"))
    monkeypatch.setattr(process, "COMMAND", full)
    code, said = command(*train(folder, base=str(base)), *QUICK)
    assert code == 1 and said["error"] == "The disk is full, cat.safetensors could not be saved."
    assert said["remedy"] == "Make some space and try again; nothing older was changed."
    assert list(Path(said["run"]).glob("checkpoints/ckpt-000004/adapter.safetensors"))
    assert not list(studio.loras.iterdir())


@pytest.mark.parametrize(
    ("changes", "error", "remedy"),
    [
        ({"trigger": ""}, "There is no trigger word.", "Type a word that calls your LoRA, such as zxy_style."),
        (
            {"trigger": "x"},
            "The trigger word 'x' is a single letter, which stands in many prompts.",
            "Use a made-up word such as zxy_style.",
        ),
        ({"name": "../cat"}, "The name '../cat' looks like a path.", "Use a plain name such as cat."),
        ({"name": "CON"}, "Windows keeps the name 'CON' for itself.", "Use another name, such as con-lora."),
        ({"preset": "styl"}, "There is no preset 'styl'.", "Did you mean 'style'?"),
        ({"base": "startr"}, "There is no base 'startr'.", "Did you mean 'starter'?"),
        ({"set": "stepps=4"}, "No setting is called 'stepps'.", "Did you mean 'steps'?"),
        ({"set": "rank=999"}, "Rank can be at most 256.", "Use 256 instead of 999."),
        ({"set": "rank"}, "--set 'rank' has no value.", "Write it as KEY=VALUE, such as --set steps=300."),
    ],
)
def test_a_mistake_is_a_sentence_and_a_remedy_and_copies_nothing(studio, command, folder, changes, error, remedy):
    code, said = command(*train(folder, **changes))
    assert code == 1 and said == {"error": error, "remedy": remedy}
    assert not studio.pictures.exists() and not studio.runs.exists()


def test_folders_without_pictures_and_bases_that_are_none_are_refused(studio, command, tmp_path, folder):
    (tmp_path / "empty").mkdir()
    assert command(*train(tmp_path / "empty"))[1]["error"] == "There are no pictures in empty."
    assert command(*train(tmp_path / "nowhere"))[1]["error"] == f"{tmp_path / 'nowhere'} is not there."
    (tmp_path / "empty" / "a.png").write_text("words")
    assert (
        command(*train(tmp_path / "empty"))[1]["error"]
        == "a.png is a text file, not a picture. Drop PNG, JPEG or WebP pictures."
    )
    code, said = command(*train(folder, base=str(folder)))
    assert code == 1 and said["error"] == "The folder some pictures is not a base: it has no model_index.json."


def test_families_lists_every_base_with_its_licence_and_the_ways_of_writing(studio, capsys):
    assert cli.main(["families", "--json"]) == 0
    found = {family["key"]: family for family in json.loads(capsys.readouterr().out)["families"]}
    keys = {base["key"] for family in found.values() for base in family["bases"]}
    assert keys >= set("starter sd15 sdxl sd35-medium sd35-large flux1-dev flux1-schnell klein-4b klein-9b "
                       "kandinsky22 wuerstchen".split())  # fmt: skip
    assert all(base["licence"] and base["title"] for family in found.values() for base in family["bases"])
    assert found["flux1"]["dialects"] == ["kohya", "diffusers", "comfy"]
    assert cli.main(["families"]) == 0
    assert "sd15" in capsys.readouterr().out


def test_convert_writes_the_same_lora_in_another_dialect_and_overwrites_nothing(studio, command, tmp_path):
    import numpy as np
    from safetensors.numpy import load_file, save_file

    module, random = "lora_unet_joint_blocks_0_x_block_attn_qkv", np.random.default_rng(1)
    up = np.zeros((24, 6), np.float16)
    for n in range(3):  # query, key and value, each of rank 2
        up[8 * n : 8 * n + 8, 2 * n : 2 * n + 2] = random.random((8, 2))
    source, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    halves = {f"{module}.lora_down.weight": random.random((6, 8)).astype(np.float16), f"{module}.lora_up.weight": up}
    save_file(halves | {f"{module}.alpha": np.array(3, np.float32)}, source, {"modelspec.trigger_phrase": "zxy"})
    told = command("inspect", str(source))[1]
    assert (told["family"], told["rank"], told["alpha"], told["trigger"]) == ("sd3", 2, 1.0, "zxy")
    assert told["odd"] == ["It does not say which kind of base it is for; its layers do."]

    code, said = command("convert", str(source), "--to", "diffusers", "--out", str(out))
    assert code == 0 and said["dialect"] == "diffusers" and said["rank"] == 2
    written = load_file(out)
    for n, name in enumerate("qkv"):
        start = f"transformer.transformer_blocks.0.attn.to_{name}"
        down = halves[f"{module}.lora_down.weight"][2 * n : 2 * n + 2]
        assert np.array_equal(written[f"{start}.lora_A.weight"], down)
        assert np.array_equal(written[f"{start}.lora_B.weight"], up[8 * n : 8 * n + 8, 2 * n : 2 * n + 2] / 2)
    again = command("convert", str(source), "--to", "kohya", "--out", str(out))
    assert again == (1, {"error": "b.safetensors is there already.",
                         "remedy": "Give another name; nothing is overwritten."})  # fmt: skip
    assert command("convert", str(out), "--to", "comfyui", "--out", str(tmp_path / "c.safetensors"))[0] == 0
    assert command("inspect", str(tmp_path / "c.safetensors"))[1]["dialect"] == "comfy"


def test_inspect_refuses_what_is_no_lora(studio, command, tmp_path):
    (tmp_path / "a.pt").write_bytes(b"PK\x03\x04" + b"0" * 90)
    assert "can carry programs" in command("inspect", str(tmp_path / "a.pt"))[1]["error"]
    assert command("inspect", str(tmp_path / "gone"))[0] == 1


def test_a_wrong_command_line_is_json_too(studio, command):
    for wrong in (("tran",), ("draw", "--prompt", "x", "--seed", "one"), ("train",), ("demo", "--what")):
        code, said = command(*wrong)
        assert code == 2 and said["error"].startswith("The command line is not right") and "--help" in said["remedy"]


def test_drawing_with_a_lora_that_is_not_there_or_a_wrong_setting_is_refused(studio, command):
    assert command("draw", "--prompt", "x", "--lora", "cat:1")[1]["error"] == "There is no LoRA 'cat'."
    assert command("draw", "--prompt", "x", "--set", "guidance=99")[1]["error"] == "Guidance can be at most 30."
    assert command("draw", "--prompt", "x", "--seed", "-2")[1]["error"] == "Seed must be at least -1."
    assert command("draw", "--prompt", "<lora:cat:1>")[1]["error"] == "There is no LoRA 'cat'."


def test_a_strength_follows_the_last_colon(studio):
    studio.loras.mkdir(parents=True)
    layer = "lora_unet_down_blocks_0_attentions_0_to_q"
    import numpy as np
    from safetensors.numpy import save_file

    halves = {
        f"{layer}.lora_down.weight": np.ones((2, 8), np.float16),
        f"{layer}.lora_up.weight": np.ones((8, 2), np.float16),
    }
    path = studio.loras / "cat.safetensors"
    save_file(halves, path, {"modelspec.architecture": "stable-diffusion-v1/lora"})
    ways = (("cat:0.8", 0.8), ("cat", 1.0), ("cat:-1", -1.0), ("cat:0,5", 0.5), (f"{path}:0", 0.0), (str(path), 1.0))
    for text, strength in ways:
        assert draw._stack_entry(studio, text).items() >= {"lora": str(path), "strength": strength}.items()
    for text in ("cat:3", "cat:-2.5", "cat:nan"):
        with pytest.raises(UserError, match="Strength (can|must) be"):
            draw._stack_entry(studio, text)


def test_without_json_people_read_sentences(studio, capsys, folder):
    assert cli.main([*train(folder, name="a/b")]) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.splitlines() == [
        "The name 'a/b' looks like a path.",
        "Use a plain name such as a-b.",
    ]


def test_a_run_that_fails_ends_with_its_sentence(studio, command, folder, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    code, said = command(*train(folder, name="out-of-memory"))
    assert code == 1 and said["error"] == "There was not enough memory." and Path(said["run"]).is_dir()


def test_ctrl_c_stops_the_run_properly_and_says_what_was_saved(studio, command, folder, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    real, pressed = runs.Run.wait, []

    def wait(run):
        for event in real(run):
            yield event
            if not pressed:
                pressed.append(True)
                raise KeyboardInterrupt

    monkeypatch.setattr(runs.Run, "wait", wait)
    code, said = command(*train(folder))
    assert code == 1 and said["error"] == "Stopped at step 3 of 100."
    assert said["remedy"] == "There was nothing worth saving yet." and said["lora"] == ""
    assert runs.latest(studio).status().state == "stopped"


def test_a_second_train_while_one_is_running_is_refused(studio, command, folder, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    from lora_gui.studio.things.pictures import import_pictures
    from tests.studio.tasks.test_runs import job

    made, _ = import_pictures(studio, [folder])
    run = runs.start(studio, job(studio))
    assert command(*train(folder))[1] == {
        "error": "A training is already running.",
        "remedy": "Wait until it is done, or stop it first.",
    }
    run.stop()
    list(run.wait())
    assert made.pictures[0].path.exists()


@pytest.mark.skipif(os.name == "nt", reason="shells of Windows have no such pipes and close no streams")
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("families | true", 1, ""),
        ("inspect nothing 2>&-", 1, ""),
        pytest.param("families --json | true", 1, "", marks=pytest.mark.soak),
        pytest.param("nonsense 2>&1 >/dev/null | true", 2, "", marks=pytest.mark.soak),
        pytest.param("families >&-", 0, "", marks=pytest.mark.soak),
        pytest.param("bases sign-in <&-", 1, "This is no token.", marks=pytest.mark.soak),
        pytest.param("families >/dev/full", 1, "The result could not be written (No space left on device).",
                     marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device")),
    ],
)  # fmt: skip
def test_a_stream_that_is_closed_or_that_nobody_reads_to_its_end_is_no_crash(studio, line, code, said):
    script = f"set -o pipefail; {shlex.quote(sys.executable)} -m lora_gui {line}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code and "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert said in done.stderr


def test_what_the_disk_refuses_to_read_is_a_sentence(studio, command, tmp_path):
    for line in (
        ("give", "x", "publish", "--repo", "a/b", "--folder", "a" * 300),
        ("presets", "share", "style", "--out", str(tmp_path / ("a" * 300) / "b")),
        ("loras", "bring", "~nobody-of-that-name/x"),
    ):
        code, said = command(*line)
        assert code == 1 and said["remedy"], line


def test_the_window_opens_where_there_is_no_console(monkeypatch):
    """A shortcut to pythonw starts it without any stream, and libraries ask what kind of stream there is."""
    seen = []
    monkeypatch.setattr(app, "open_window", lambda *_, **__: seen.append(sys.stdout.isatty()))
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.setattr(sys, "stdout", None)
    assert app.main() == 0 and seen == [False]


def test_the_command_line_starts_without_torch_and_without_the_window():
    code = (
        "import sys, lora_gui.__main__; first = set(sys.modules);"
        "import lora_gui.studio.demo, lora_gui.studio.things.loras;"
        "heavy = {'torch', 'gradio', 'diffusers', 'transformers', 'peft', 'bitsandbytes'};"
        "print(sorted(heavy & set(sys.modules)), sorted({'pydantic', 'PIL', 'numpy'} & first))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[] []"


def test_the_demonstration_lies_where_its_folder_was_typed(monkeypatch, tmp_path):
    """Its launchers go to the program's folder first."""
    asked = lambda *typed: cli.parser().parse_args(["demo", *typed]).out  # noqa: E731
    monkeypatch.delenv("LORA_GUI_FROM", raising=False)  # which the launcher that runs the tests has set
    assert [asked(), asked("--out", "a b")] == [Path("demo"), Path("a b")]
    monkeypatch.setenv("LORA_GUI_FROM", str(tmp_path))
    assert [asked(), asked("--out", "a b"), asked("--out=/a")] == [Path("demo"), tmp_path / "a b", Path("/a")]
