"""What a base says of its noise, in its scheduler's configuration or beside a checkpoint; EDM is refused by name."""

from typing import Any

from lora_gui.errors import UserError

PREDICTIONS = ("epsilon", "v_prediction", "sample")  # as diffusers names them
ANOTHER = "Choose a base that is trained to predict noise or velocity."


def edm(name: str) -> UserError:
    """The error for a base that is trained as Karras et al. 2022 have it."""
    return UserError(f"{name} is trained with EDM noise, which is not supported: it would draw noise alone.", ANOTHER)


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
