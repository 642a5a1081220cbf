"""ComfyUI's own record of what it drew, the chunk `prompt`: nodes by id, each with its class and its inputs.

An input that is `[id, output]` comes from another node. What is followed is the common way of a picture: from the
sampler to its model through the loaders of LoRAs, to its two conditionings and to its latents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.formats.recall.recalled import LONGEST, MOST, Lora, Recalled, number, sampling, whole

Node = dict[str, Any]
NODES, DEEP = 5_000, 200  # of a workflow, and of a way through it
SAMPLERS = ("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced")
# nodes that the drawing here does without, as it does by itself what they do
_SILENT = re.compile(
    r"SaveImage.*|PreviewImage|VAEDecode.*|VAELoader|.*CLIPLoader.*|RandomNoise|KSamplerSelect|\w+Scheduler|"
    r"(Basic|CFG)Guider|ModelSampling\w+|Primitive.*|Note|Reroute|ConditioningZeroOut|Seed.*|DisableNoise"
)
_VALUES = ("value", "seed", "noise_seed", "int", "float", "text", "string", "String", "Text", "number")


class Graph:
    """The nodes of a workflow, and which of them were looked at."""

    def __init__(self, nodes: dict[str, Node]) -> None:
        self.nodes, self.seen, self.left = nodes, set[str](), list[str]()

    def at(self, link: Any) -> Node | None:
        """The node that an input comes from."""
        found = self.nodes.get(str(link[0])) if isinstance(link, list) and link else None
        if found is not None:
            self.seen.add(str(link[0]))
        return found

    def value(self, given: Any) -> Any:
        """An input, or what the node holds that it comes from."""
        for _ in range(DEEP):
            node = self.at(given)
            if node is None:
                return None if isinstance(given, list | dict) else given
            given = next((node["inputs"][name] for name in _VALUES if name in node["inputs"]), None)
        return None

    def way(self, link: Any, *names: str) -> Iterator[Node]:
        """The nodes from a link on, each by the first of these inputs that leads on."""
        for _ in range(DEEP):
            node = self.at(link)
            if node is None:
                return
            yield node
            link = next((node["inputs"][name] for name in names if isinstance(node["inputs"].get(name), list)), None)


def read(text: str) -> Recalled:
    """Raises UserError where the record is damaged or has no sampler that is known here."""
    graph = Graph(_nodes(text))
    samplers = {key: node for key, node in graph.nodes.items() if node["class_type"] in SAMPLERS}
    if not samplers:
        raise UserError("This picture's ComfyUI workflow has no sampler that is known here.", "Set it up by hand.")
    key, sampler = _first(graph, samplers)
    graph.seen.add(key)
    if len(samplers) > 1:
        graph.left.append(f"Only the first of {len(samplers)} passes is carried over.")
    inputs = _with_guider(graph, sampler["inputs"])
    base, loras = _model(graph, inputs.get("model"))
    settings = _sampling(graph, inputs) | _latents(graph, inputs.get("latent_image")) | _prompts(graph, inputs)
    others = {node["class_type"] for key, node in graph.nodes.items() if key not in graph.seen | samplers.keys()}
    if unknown := sorted(one for one in others if not _SILENT.fullmatch(one)):
        graph.left.append(f"Not carried over: {', '.join(unknown[:8])}.")
    return Recalled(
        program="ComfyUI",
        settings={name: value for name, value in settings.items() if value is not None},
        loras=tuple(loras[:MOST]),
        base=base,
        left=tuple(plain(one) for one in graph.left),
    )


def _nodes(text: str) -> dict[str, Node]:
    try:
        said = json.loads(text)
        found = {
            str(key): {"class_type": str(node["class_type"])[:80], "inputs": dict(node["inputs"])}
            for key, node in [*said.items()][:NODES]
            if isinstance(node, dict) and "class_type" in node and isinstance(node.get("inputs"), dict)
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise UserError("This picture's ComfyUI workflow is damaged.", "Choose another copy of it.") from None
    return found


def _first(graph: Graph, samplers: dict[str, Node]) -> tuple[str, Node]:
    """The sampler that the others draw over."""
    for key, node in samplers.items():
        before = graph.way(node["inputs"].get("latent_image"), "samples", "latent_image", "latent")
        if not any(one["class_type"] in SAMPLERS for one in before):
            return key, node
    return next(iter(samplers.items()))


def _with_guider(graph: Graph, inputs: Node) -> Node:
    """The inputs of a sampler with those of the nodes that newer ones are put together from."""
    found = dict(inputs)
    if guider := graph.at(inputs.get("guider")):
        found |= guider["inputs"]
        found.setdefault("positive", guider["inputs"].get("conditioning"))
    if noise := graph.at(inputs.get("noise")):
        found["seed"] = noise["inputs"].get("noise_seed")
    if solver := graph.at(inputs.get("sampler")):
        found["sampler_name"] = solver["inputs"].get("sampler_name", "")
    if sigmas := graph.at(inputs.get("sigmas")):
        named = sigmas["class_type"].removesuffix("Scheduler").lower()
        found = {"scheduler": named if named in ("karras", "exponential") else ""} | found | sigmas["inputs"]
    return found


def _sampling(graph: Graph, inputs: Node) -> dict[str, Any]:
    def get(*names: str) -> Any:
        return next((graph.value(inputs[name]) for name in names if name in inputs), None)

    kept, left = sampling(str(get("sampler_name") or ""), str(get("scheduler") or ""))
    graph.left += left
    denoise, steps = number(get("denoise")), whole(get("steps"))
    if denoise is not None and denoise < 1:
        graph.left.append(f"It was drawn over a picture at {denoise:g}, which is not in the file.")
    begin, end = whole(get("start_at_step")), whole(get("end_at_step"))
    if begin or (end is not None and steps is not None and end < steps):
        graph.left.append(f"Steps {begin or 0} to {end} of {steps} were drawn alone; here all are.")
    return kept | {"seed": whole(get("seed", "noise_seed")), "steps": steps, "guidance": number(get("cfg"))}


def _model(graph: Graph, link: Any) -> tuple[str, list[Lora]]:
    """The base, and the LoRAs from it to the sampler."""
    base, loras = "", list[Lora]()
    for node in graph.way(link, "model"):
        inputs = node["inputs"]
        name = next((inputs[one] for one in ("ckpt_name", "unet_name", "model_name") if one in inputs), None)
        if isinstance(name, str) and "model" not in inputs:
            base = _stem(name)
        loras[:0] = _loras(graph, node["class_type"], inputs)
    return base, loras


def _loras(graph: Graph, kind: str, inputs: Node) -> list[Lora]:
    """The LoRAs that a node loads; several where it is rgthree's."""
    rows = [one for one in inputs.values() if isinstance(one, dict) and isinstance(one.get("lora"), str)]
    if kind.startswith("Power Lora Loader"):
        return [Lora(_stem(one["lora"]), number(one.get("strength")) or 0.0) for one in rows if one.get("on", True)]
    name = graph.value(inputs.get("lora_name"))
    if not (kind.startswith("LoraLoader") and isinstance(name, str)):
        return []
    strength = number(graph.value(inputs.get("strength_model")))
    strength = 1.0 if strength is None else strength
    texts = number(graph.value(inputs.get("strength_clip")))
    return [Lora(_stem(name), strength, "", {} if texts in (None, strength) else {"text_strength": float(texts or 0)})]


def _prompts(graph: Graph, inputs: Node) -> dict[str, Any]:
    """Both prompts, with the guidance that FLUX takes with its prompt, and clip skip."""
    found: dict[str, Any] = {"prompt": "", "negative_prompt": ""}
    for ours, theirs in (("prompt", "positive"), ("negative_prompt", "negative")):
        for node in graph.way(inputs.get(theirs), "conditioning", "conditioning_1", "conditioning_to", theirs):
            given = node["inputs"]
            if node["class_type"] == "ConditioningZeroOut":
                break
            if ours == "prompt" and "guidance" in given:
                found["guidance"] = number(graph.value(given["guidance"]))
            texts = [graph.value(given[one]) for one in ("text", "text_g", "t5xxl", "clip_l", "text_l") if one in given]
            if node["class_type"].startswith("CLIPTextEncode") and texts:
                text = next((str(one) for one in texts if one), "")
                found[ours] = text[:LONGEST]
                if len(text) > LONGEST:
                    graph.left.append(f"A prompt is cut to {LONGEST} characters.")
                found |= _clip_skip(graph, given.get("clip"))
                break
    return found


def _clip_skip(graph: Graph, link: Any) -> dict[str, Any]:
    for node in graph.way(link, "clip"):
        skipped = whole(node["inputs"].get("stop_at_clip_layer"))
        if skipped is not None:
            return {"clip_skip": -skipped}
    return {}


def _latents(graph: Graph, link: Any) -> dict[str, Any]:
    for node in graph.way(link, "samples", "latent", "latent_image"):
        given = node["inputs"]
        if "width" in given and "height" in given:
            if (whole(graph.value(given.get("batch_size", 1))) or 1) > 1:
                graph.left.append("It was drawn in a batch, of which the first is drawn here.")
            return {side: whole(graph.value(given[side])) for side in ("width", "height")}
        if "pixels" in given:
            graph.left.append("It began with a picture, which is not in the file; here it begins with noise.")
    return {}


def _stem(name: str) -> str:
    """The name of a file without its folders and its ending, of whatever system."""
    return plain(re.split(r"[\\/]", name)[-1]).removesuffix(".safetensors")[:200]
