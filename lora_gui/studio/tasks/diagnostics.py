"""What can be told about a run to somebody who helps: no path, caption, name or token of the user is in it."""

import importlib.metadata
import platform
import re
import sys
from pathlib import Path

import lora_gui
from lora_gui.errors import UserError
from lora_gui.studio.paths import home_folder
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.runs import Run

LOG = 8000  # characters of the log's end
PRIVATE = {"sample_prompts", "class_words"}  # settings that hold words of the user
PACKAGES = ("torch", "diffusers", "peft", "transformers", "gradio", "safetensors")
QUOTED = re.compile(r"""(["'])(?:/|[A-Za-z]:[\\/]|~)[^"'\n]*[\\/]([^"'\\/\n]*)\1""")
# without quotes, a path with spaces is known by its end only; then rather too much is left out than too little
ENDS = r"[^\n\"'<>|:]*\.(?:png|jpe?g|webp|txt|json|jsonl|toml|safetensors)\b"
BARE = re.compile(rf"(?<![\w<.])(?:/|[A-Za-z]:\\)(?:{ENDS}|[^\s\"'<>|:,)]*)")
TOKEN = re.compile(r"\b(?:hf_\w{8,}|[A-Za-z0-9_-]{32,})\b")


def report(run: Run) -> str:
    """The versions, the settings, how it ended and the end of the log, as plain text."""
    try:
        job = run.job
    except UserError as error:
        return f"LoRA Studio {lora_gui.__version__}\n{error.what}"
    status = run.status()
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    kept = {key: value for key, value in job.settings.model_dump().items() if key not in PRIVATE}
    captions = (said for picture in job.pictures for said in (picture.caption, *picture.captions))
    words = [job.trigger, job.name, job.settings.class_words, *job.settings.sample_prompts, *captions]
    lines = (
        f"LoRA Studio {lora_gui.__version__}, Python {platform.python_version()} on {platform.platform()}",
        versions,
        f"{job.base.family}, {len(job.pictures)} pictures, step {status.step} of {status.of}: {status.state}",
        without_private(f"{status.what} {status.remedy}".strip(), words, run),
        " ".join(f"{key}={value}" for key, value in kept.items()),
        "",
        without_private(process.last_words(run.log, LOG), words, run),
    )
    return "\n".join(lines)


def without_private(text: str, words: list[str], run: Run) -> str:
    """The text without the user's words and without paths but for the names of programs' files."""
    user = home_folder()
    for known in (run.folder, Path(sys.prefix), process.ROOT, user):
        text = text.replace(str(known), "<path>") if known else text
    text = QUOTED.sub(lambda path: f"{path[1]}{_place(path[2])}{path[1]}", text)
    text = BARE.sub(lambda path: _place(re.split(r"[/\\]", path[0])[-1]), text)
    for word in sorted(filter(None, map(str.strip, words)), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "<private>", text, flags=re.IGNORECASE)
    if user and len(user.name) > 2:
        text = text.replace(user.name, "<user>")
    return TOKEN.sub("<token>", text)


def _place(name: str) -> str:
    return f"<path>/{name}" if name.endswith(".py") else "<path>"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "is missing"
