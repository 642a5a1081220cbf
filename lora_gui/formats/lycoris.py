"""The kinds of LyCORIS layers by the names and shapes of their tensors: which are read, and which are only named."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping

Shape = tuple[int, ...]

ROLES = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2", "lokr_w1", "lokr_w1_a",
         "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2", "diff")  # fmt: skip
ROLE = re.compile(rf"(.+)\.({'|'.join(ROLES)})(?:\.weight)?")  # of layers that are read
_OTHERS = {
    r"\.(a1|a2|b1|b2)\.weight$|\.bm\.weight$": "GLoRA",
    r"\.oft_blocks$|\.oft_diag$|\.oft_R\.weight$": "OFT or BOFT",
    r"\.on_input$|\.ia3_l": "(IA)3",
    r"\.w_norm$|\.b_norm$": "trained norms alone",
    r"\.diff_b$": "trained biases alone",
}
MID = ".lora_mid.weight"  # of LoCon: a core between the two halves


def other_kind(names: Mapping[str, object]) -> str:
    """What a file without a layer that is read is called; empty where it is nothing of the kind."""
    return next((kind for pattern, kind in _OTHERS.items() if any(re.search(pattern, name) for name in names)), "")


def factored(shapes: Mapping[str, Shape]) -> bool:
    """Whether some of these tensors are of a layer that is not two plain halves."""
    return bool(layers(shapes)) or any(name.endswith(MID) for name in shapes)


def of_lokr(names: Iterable[str]) -> bool:
    """Whether some of these tensors are a LoKr's."""
    return any(".lokr_" in name for name in names)


def is_whole(roles: Collection[str]) -> bool:
    """Whether no factor of a layer is a product, so that LyCORIS scales it by nothing, whatever its alpha says."""
    return "diff" in roles or {"lokr_w1", "lokr_w2"} <= {*roles}


def idle_alphas(shapes: Mapping[str, Shape]) -> set[str]:
    """The alphas that count for nothing. A rank of 100,000 asks LyCORIS for whole factors; as fp16 it is infinite."""
    return {f"{module}.alpha" for module, roles in layers(shapes).items() if is_whole(roles)}


def role_of(name: str, dimensions: int) -> tuple[str, str]:
    """The module of a tensor and its role in it; two empty ones where it is of no layer that is read."""
    match = ROLE.fullmatch(name)
    return (match[1], match[2]) if match and (match[2] != "diff" or dimensions > 1) else ("", "")


def elements(roles: Mapping[str, Shape]) -> int:
    """About how many values a layer has as two plain halves."""
    rank, inputs, outputs = size(roles)
    wide = rank * rank if "hada_w1_a" in roles and "hada_t1" not in roles else min(inputs, outputs)
    if "lokr_w2_a" in roles and "lokr_t2" not in roles:
        wide = rank * _factor(roles, "lokr_w1")[0][1]
    return min(wide, inputs, outputs) * (inputs + outputs)


def layers(shapes: Mapping[str, Shape]) -> dict[str, dict[str, Shape]]:
    """The shapes of each module's tensors by role, of those modules that are no plain LoRA."""
    found: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        module, role = role_of(name, len(shape))
        if module:
            found.setdefault(module, {})[role] = shape
    return found


def size(roles: Mapping[str, Shape]) -> tuple[int, int, int]:
    """Rank, inputs and outputs of a layer. Raises ValueError where its tensors do not belong together."""
    if "diff" in roles:
        return _dense(roles["diff"])
    if any(role.startswith("hada") for role in roles):
        return _hada(roles)
    return _kronecker(roles)


def _dense(shape: Shape) -> tuple[int, int, int]:
    if len(shape) < 2:
        raise ValueError("no weight")
    return min(shape[0], math.prod(shape[1:])), shape[1], shape[0]


def _hada(roles: Mapping[str, Shape]) -> tuple[int, int, int]:
    one, two = [(roles.get(f"hada_w{n}_a", ()), roles.get(f"hada_w{n}_b", ())) for n in (1, 2)]
    if "hada_t1" in roles or "hada_t2" in roles:
        cores = roles.get("hada_t1", ()), roles.get("hada_t2", ())
        for (up, down), core in zip((one, two), cores, strict=True):
            if len(core) != 4 or len(up) != 2 or len(down) != 2 or core[:2] != (up[0], down[0]):
                raise ValueError("no Tucker factors")
        if one[0][1] != two[0][1] or one[1][1] != two[1][1] or cores[0][2:] != cores[1][2:]:
            raise ValueError("other sizes")
        return one[1][0], one[1][1], one[0][1]
    for up, down in (one, two):  # of convolutions flattened, or as they are, which OneTrainer writes
        if len(up) not in (2, 4) or len(down) != len(up) or up[1] != down[0] or math.prod(up[2:]) != 1:
            raise ValueError("no factors")
    if one[0][0] != two[0][0] or one[1][1:] != two[1][1:]:
        raise ValueError("other sizes")
    return one[1][0], math.prod(one[1][1:]), one[0][0]


def _kronecker(roles: Mapping[str, Shape]) -> tuple[int, int, int]:
    first, rank_1 = _factor(roles, "lokr_w1")
    second: Shape
    if core := roles.get("lokr_t2"):
        up, down = roles.get("lokr_w2_a", ()), roles.get("lokr_w2_b", ())
        if len(core) != 4 or len(up) != 2 or len(down) != 2 or core[:2] != (up[0], down[0]):
            raise ValueError("no Tucker factors")
        second, rank_2 = (up[1], down[1], *core[2:]), down[0]
    else:
        second, rank_2 = _factor(roles, "lokr_w2")
    if len(first) != 2:
        raise ValueError("no factor")
    return rank_2 or rank_1 or min(second[0], second[1]), first[1] * second[1], first[0] * second[0]


def _factor(roles: Mapping[str, Shape], name: str) -> tuple[Shape, int]:
    """Shape of one factor, and its rank, 0 where it is whole."""
    if whole := roles.get(name):
        if len(whole) < 2:
            raise ValueError("no factor")
        return whole, 0
    up, down = roles.get(f"{name}_a", ()), roles.get(f"{name}_b", ())
    if len(up) != 2 or len(down) < 2 or up[1] != down[0]:
        raise ValueError("no factors")
    return (up[0], *down[1:]), down[0]
