"""What the two trainings of the starter share: optimizer step, schedule, EMA of the weights, checkpoint."""

import json
import math
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn


def mixed_precision() -> torch.autocast:
    """bf16 where the processor multiplies in it, which is a third quicker; the weights and their EMA stay fp32."""
    quick = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast("cpu", torch.bfloat16, enabled=bool(quick))


class Training:
    """Networks, the EMA of their weights and AdamW with a cosine schedule; saved whole and read back.

    The order of the pictures and all noise are drawn from `generator(step)`, so nothing else needs keeping.
    """

    def __init__(self, networks: dict[str, nn.Module], rate: float, steps: int, decay: float, folder: Path) -> None:
        self.networks, self.rate, self.steps, self.decay, self.folder = networks, rate, steps, decay, folder
        self.parameters = {f"{part}.{name}": p for part, net in networks.items() for name, p in net.named_parameters()}
        self.ema = {name: p.detach().clone() for name, p in self.parameters.items()}
        matrices = [p for p in self.parameters.values() if p.ndim > 1]
        vectors = [p for p in self.parameters.values() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=True)
        self.step = 0

    @property
    def path(self) -> Path:
        """The checkpoint."""
        return self.folder / "training.safetensors"

    def generator(self) -> torch.Generator:
        """The randomness of this step and of no other, whatever was interrupted before it."""
        return torch.Generator().manual_seed(1_000_003 * (self.step + 1))

    def update(self, loss: torch.Tensor) -> None:
        """Backward, one optimizer step with gradient clipping, warm-up and cosine schedule, then the EMA update."""
        loss.backward()
        nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0)
        progress = self.step / self.steps
        rate = self.rate * min(1.0, (self.step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        decay = min(self.decay, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            ema, now = list(self.ema.values()), list(self.parameters.values())
            torch._foreach_lerp_(ema, [p.detach() for p in now], 1 - decay)
        self.step += 1

    def save(self) -> None:
        """Keep everything the next start needs, in one file that is replaced whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"now.{name}": p.detach().contiguous() for name, p in self.parameters.items()}
        tensors |= {f"average.{name}": p.contiguous() for name, p in self.ema.items()}
        for name, p in self.parameters.items():
            for key, value in self.optimizer.state[p].items():
                tensors[f"optimizer.{name}.{key}"] = value.detach().clone().contiguous()
        partial = self.path.with_suffix(".part")
        save_file(tensors, partial, metadata={"training": json.dumps({"step": self.step, "steps": self.steps})})
        partial.replace(self.path)

    def resume(self) -> bool:
        """Go on from the last checkpoint, if there is one."""
        if not self.path.exists():
            return False
        with safe_open(self.path, framework="pt") as file, torch.no_grad():
            self.step = json.loads(file.metadata()["training"])["step"]
            for name, p in self.parameters.items():
                p.copy_(file.get_tensor(f"now.{name}"))
                self.ema[name].copy_(file.get_tensor(f"average.{name}"))
                keys = ("step", "exp_avg", "exp_avg_sq")
                state = {k: file.get_tensor(f"optimizer.{name}.{k}") for k in keys}
                # The fused step walks the memory as it lies, so its state must lie as the parameter does.
                state |= {k: torch.empty_like(p).copy_(state[k]) for k in keys[1:]}
                self.optimizer.state[p] = state
        return True

    def use_ema(self) -> None:
        """Load the EMA weights into the networks: what is published."""
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(self.ema[name])
