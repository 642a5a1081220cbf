"""LyCORIS layers as plain LoRA halves with exactly the same update: products of factors are factored again."""

from __future__ import annotations

import torch

from lora_gui.errors import UserError
from lora_gui.formats import lycoris
from lora_gui.formats.lycoris import MID

Roles = dict[str, torch.Tensor]
Halves = tuple[torch.Tensor, torch.Tensor]  # down (rank, in, ...) and up (out, rank)


def halved(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a file with `lora_down`, `lora_up` and `alpha` in place of the factors of LyCORIS layers, fp32.

    `alpha` is the new rank times the old alpha / rank, as LyCORIS scales its layers. Raises UserError where the factors
    of a layer do not belong together.
    """
    found: dict[str, Roles] = {}
    rest: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        module, role = lycoris.role_of(name, tensor.ndim)
        if module:
            found.setdefault(module, {})[role] = tensor
        elif not name.endswith(MID):
            rest[name] = tensor
    for name, mid in tensors.items():
        if name.endswith(MID):
            key = f"{name.removesuffix(MID)}.lora_down.weight"
            if key not in rest or mid.ndim != 4 or mid.shape[1] != rest[key].shape[0] or rest[key][0].ndim == 0:
                raise _torn()
            rest[key] = torch.einsum("ijkl,jn->inkl", mid, rest[key].flatten(1))
    for module, roles in found.items():
        try:
            rank, *_ = lycoris.size({role: tuple(tensor.shape) for role, tensor in roles.items()})
        except ValueError:
            raise _torn() from None
        alpha = rest.pop(f"{module}.alpha", None)
        scale = 1.0 if alpha is None or lycoris.is_whole(roles) else float(alpha) / rank
        down, up = _halves(roles)
        rest[f"{module}.lora_down.weight"] = down
        rest[f"{module}.lora_up.weight"] = up.view(*up.shape, *[1] * (down.ndim - 2))
        rest[f"{module}.alpha"] = torch.tensor(scale * down.shape[0])
    return rest


def _torn() -> UserError:
    return UserError("In this LoRA the factors of a layer do not belong together.", "Get a whole copy of it.")


def _halves(roles: Roles) -> Halves:
    if "diff" in roles:
        return _of_dense(roles["diff"])
    if "hada_t1" in roles:
        return _of_dense(_tucker(roles, "hada", 1) * _tucker(roles, "hada", 2))
    if "hada_w1_a" in roles:
        return _hada(*(roles[f"hada_w{n}_{half}"] for n in (1, 2) for half in "ab"))
    return _kronecker(roles)


def _tucker(roles: Roles, kind: str, n: int) -> torch.Tensor:
    """(out, in, k, k) of a core and its two factors."""
    core, up, down = roles[f"{kind}_t{n}"], roles[f"{kind}_w{n}_a"], roles[f"{kind}_w{n}_b"]
    return torch.einsum("ijkl,jr,ip->prkl", core, down, up)


def _hada(up_1: torch.Tensor, down_1: torch.Tensor, up_2: torch.Tensor, down_2: torch.Tensor) -> Halves:
    """(up_1 @ down_1) * (up_2 @ down_2): its rank is at most the product of both ranks (Khatri-Rao)."""
    inputs = down_1.shape[1:]  # (in,) or (in, k, k)
    up_1, down_1, up_2, down_2 = (one.flatten(1) for one in (up_1, down_1, up_2, down_2))
    rank = down_1.shape[0] * down_2.shape[0]
    if rank >= min(up_1.shape[0], down_1.shape[1]):
        return _of_dense(((up_1 @ down_1) * (up_2 @ down_2)).view(-1, *inputs))
    up = (up_1[:, :, None] * up_2[:, None, :]).flatten(1)
    return (down_1[:, None, :] * down_2[None, :, :]).view(-1, *inputs), up


def _kronecker(roles: Roles) -> Halves:
    """kron(first, second) of (a, b) and (c, d, k, k), either of them a product itself."""
    first = roles["lokr_w1"] if "lokr_w1" in roles else roles["lokr_w1_a"] @ roles["lokr_w1_b"]
    if "lokr_t2" in roles:
        return _of_dense(_kron(first, _tucker(roles, "lokr", 2)))
    if "lokr_w2" in roles:
        return _of_dense(_kron(first, roles["lokr_w2"]))
    up, down = roles["lokr_w2_a"], roles["lokr_w2_b"]
    return _kron(torch.eye(first.shape[1]), down), _kron(first, up)


def _kron(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.kron(first.view(*first.shape, *[1] * (second.ndim - 2)), second.contiguous())


def _of_dense(delta: torch.Tensor) -> Halves:
    """A whole update: itself as one half and the identity as the other, at the smaller side."""
    out, inputs = delta.shape[0], delta[0].numel()
    if inputs < out and delta.ndim == 2:
        return torch.eye(inputs), delta
    return delta, torch.eye(out)
