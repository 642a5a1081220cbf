"""What a base says of its noise, in its scheduler's configuration or beside a checkpoint; EDM is refused by name."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lora_gui import files
from lora_gui.errors import UserError

PREDICTIONS = ("epsilon", "v_prediction", "sample")  # as diffusers names them
_TO_ZERO = re.compile(r"(zero_terminal_snr|rescale_betas_zero_snr|zero_snr|zsnr|ztsnr)['\"]?\s*:\s*true", re.I)
_WORDS = {"v": "v_prediction", "eps": "epsilon", "epsilon": "epsilon", "v_prediction": "v_prediction", "x0": "sample"}
ANOTHER = "Choose a base that is trained to predict noise or velocity."


def edm(name: str) -> UserError:
    """The error for a base that is trained as Karras et al. 2022 have it."""
    return UserError(f"{name} is trained with EDM noise, which is not supported: it would draw noise alone.", ANOTHER)


def of_checkpoint(path: Path, tensors: Collection[str], header: str = "") -> tuple[str, bool]:
    """What a checkpoint predicts, as diffusers names it, and whether its noise ends at a signal of zero.

    Told by marks among its tensors, by the .yaml of the same name beside it, or by its `header`, which trainers let
    say v rightly, and epsilon of anything; empty where none says. Raises UserError where that is nothing to be drawn
    with.
    """
    said = _yaml_beside(path)
    scaling = re.search(r"\b(\w*?)Scaling(?:WithEDMcNoise)?\b", said)
    if any(name.startswith("edm_") for name in tensors) or "EDM" in said:
        raise edm(path.name)
    zero = "ztsnr" in tensors or bool(_TO_ZERO.search(said))
    if "v_pred" in tensors:
        return "v_prediction", zero
    named = re.search(r"(?:^|[\s{,])['\"]?parameterization['\"]?\s*:\s*['\"]?([\w-]+)", said)
    word = named[1] if named else {"V": "v", "Eps": "eps"}.get(scaling[1] if scaling else "", "")
    if word and word not in _WORDS:
        what = f"{path.stem}.yaml says that {path.name} predicts {word[:40]!r}, which is not supported."
        raise UserError(what, ANOTHER)
    of_header = _WORDS.get(header.casefold(), "")
    return _WORDS.get(word, of_header if of_header == "v_prediction" else ""), zero


def is_mark(tensor: str) -> bool:
    """Whether a tensor is there only to say something of the noise."""
    return tensor.startswith("edm_") or tensor in ("v_pred", "ztsnr")


def beside(path: Path) -> Path | None:
    """The .yaml file beside a checkpoint that says how it was made."""
    for name in (f"{path.stem}.yaml", f"{path.stem}.yml", f"{path.name}.yaml"):
        if path.with_name(name).is_file():
            return path.with_name(name)
    return None


def _yaml_beside(path: Path) -> str:
    """What stands in it, without comments; nothing where it cannot be read. Never run through a parser of YAML."""
    found = beside(path)
    try:
        text = files.read_small(found).decode("utf-8-sig", "replace") if found else ""
    except OSError:
        return ""
    return "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines())


def require_readable(config: dict[str, Any], flow: bool) -> None:
    """Raises UserError where a scheduler's configuration tells of noise that this kind of base is not read with."""
    kind, prediction = str(config.get("_class_name", "")), config.get("prediction_type")
    if "EDM" in kind:
        raise edm("This base")
    flows = kind.startswith("FlowMatch") or config.get("use_flow_sigmas") or prediction == "flow_prediction"
    if not flow and flows:
        raise UserError("This base is trained by flow matching, which is not supported for its kind.", ANOTHER)
    if flow and kind and not flows:
        raise UserError(f"This base names {kind[:60]}, and bases of its kind need flow matching.", ANOTHER)
    if not flow and prediction is not None and prediction not in PREDICTIONS:
        raise UserError(f"This base predicts {str(prediction)[:40]!r}, which is not supported.", ANOTHER)
    count = config.get("num_train_timesteps", 1000)
    if type(count) is not int or not 1 <= count <= 100_000:
        raise UserError("The configuration of its scheduler is damaged.", "Download this base again.")
