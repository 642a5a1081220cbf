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
from lora_gui.formats.recall.recalled import LONGEST, Lora, Recalled, besides, number, sampling, stem, whole

Node = dict[str, Any]
NODES, DEEP = 5_000, 200  # of a workflow, and of a way through it
SAMPLERS = ("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced")
# nodes that the drawing here does without, as it does by itself what they do
_SILENT = re.compile(
    r"SaveImage.*|PreviewImage|VAEDecode.*|VAELoader|.*CLIPLoader.*|RandomNoise|KSamplerSelect|\w+Scheduler|"
    r"(Basic|CFG)Guider|ModelSampling\w+|Primitive.*|Note|Reroute|ConditioningZeroOut|Seed.*|DisableNoise"
)
_FLUX = re.compile(r"flux(?![ ._-]?2)", re.I)
_NUMBERS = ("value", "seed", "noise_seed", "int", "float", "number")  # what nodes call the number that they hold
_TEXTS = ("value", "text", "string", "String", "Text")  # likewise
_JOINED = {"StringConcatenate": ("string_a", "string_b")}  # nodes to the texts that they join with their delimiter
_BACK = ("samples", "latent_image", "latent", "pixels", "image", "images")  # by which a picture came about
_PROMPTS = ("text", "text_g", "t5xxl", "clip_g", "clip_l", "text_l")  # of text encoders, the one that says most first


class Graph:
    """The nodes of a workflow, which of them are `known`, and in `left` and `lost` what is not carried over."""

    def __init__(self, nodes: dict[str, Node]) -> None:
        self.nodes, self.known, self.left = nodes, set[str](), list[str]()
        self.lost: dict[str, str] = {}  # inputs to the class that they come from, which is not known here
        self._texts: dict[str, str | None] = {}  # of nodes

    def at(self, link: Any) -> Node | None:
        """The node that an input comes from."""
        return self.nodes.get(str(link[0])) if isinstance(link, list) and link else None

    def knows(self, node: Node) -> None:
        """All that a node does is carried over."""
        self.known.add(node["id"])

    def value(self, inputs: Node, name: str) -> Any:
        """An input, or what the node holds that it comes from; None where that is not known."""
        given, last = inputs.get(name), None
        for _ in range(DEEP):
            node = self.at(given)
            if node is None:
                break
            last, given = node, self._held(node, _NUMBERS)
        if isinstance(given, list | dict) or (given is None and last is not None):
            self.lost[name] = _kind(given, last)
            return None
        return given

    def text(self, inputs: Node, name: str, called: str = "") -> str:
        """A text, or what nodes make of texts; what is not known of it is left out, under the name `called`."""
        found = self._text(inputs.get(name), called or name, DEEP)
        return "" if found is None else found

    def _text(self, given: Any, called: str, deep: int) -> str | None:
        """None where it comes round to itself."""
        if not isinstance(given, list | dict):
            return "" if given is None else str(given)
        node = self.at(given)
        if node is not None and deep and node["id"] not in self._texts:
            self._texts[node["id"]] = None
            self._texts[node["id"]] = self._made(node, called, deep - 1)
        found = self._texts.get(node["id"]) if node is not None else None
        if found is None:
            self.lost[called] = _kind(given, node)
        return found

    def _made(self, node: Node, called: str, deep: int) -> str | None:
        """The text of a node; cut to one sign more than a prompt may have, as joining can double it each time."""
        inputs = node["inputs"]
        if names := _JOINED.get(node["class_type"]):
            self.knows(node)
            parts = [self._text(inputs.get(name), called, deep) for name in names]
            return str(inputs.get("delimiter", "")).join(filter(None, parts))[: LONGEST + 1]
        held = self._held(node, _TEXTS)
        return None if held is None else self._text(held, called, deep)

    def _held(self, node: Node, names: tuple[str, ...]) -> Any:
        """What a node holds under one of these names; one that holds more may do more, and is not known for it."""
        inputs = node["inputs"]
        name = next((one for one in names if one in inputs), "")
        if name and len(inputs) == 1:
            self.knows(node)
        return inputs.get(name)

    def way(self, link: Any, *names: str) -> Iterator[Node]:
        """The nodes from a link on, each by the first of these inputs that leads on."""
        for _ in range(DEEP):
            node = self.at(link)
            if node is None:
                return
            yield node
            link = next((node["inputs"][name] for name in names if isinstance(node["inputs"].get(name), list)), None)


def _kind(given: Any, node: Node | None) -> str:
    """What an input comes from, in words."""
    if node is not None:
        return str(node["class_type"])
    return "a node that is not in the file" if isinstance(given, list) else "values of its own kind"


def read(text: str) -> Recalled:
    """Raises UserError where the record is damaged or has no sampler that is known here."""
    graph = Graph(_nodes(text))
    samplers = {key: node for key, node in graph.nodes.items() if node["class_type"] in SAMPLERS}
    if not samplers:
        raise UserError("This picture's ComfyUI workflow has no sampler that is known here.", "Set it up by hand.")
    sampler = _first(graph, samplers)
    if len(samplers) > 1:
        graph.left.append(f"Only the first of {len(samplers)} passes is carried over.")
    inputs = _with_guider(graph, sampler["inputs"])
    base, loras = _model(graph, inputs.get("model"))
    drawn, prompts = _sampling(graph, inputs), _prompts(graph, inputs)
    cfg, is_flux = drawn["guidance"], any(node["inputs"].get("type") == "flux" for node in graph.nodes.values())
    if is_flux or (cfg == 1 and _FLUX.search(base)):
        prompts.setdefault("guidance", 3.5)  # which ComfyUI gives it where no node says another
    if "guidance" in prompts and cfg not in (None, 1.0):
        graph.left.append(besides(cfg))
    settings = drawn | _latents(graph, inputs.get("latent_image")) | prompts
    others = {node["class_type"] for key, node in graph.nodes.items() if key not in graph.known | samplers.keys()}
    if unknown := sorted(one for one in others if not _SILENT.fullmatch(one)):
        graph.left.append(f"Not carried over: {', '.join(unknown[:8])}.")
    if lost := [f"{name} ({kind})" for name, kind in graph.lost.items()]:
        graph.left.append(f"Left out, as it comes from nodes that are not known here: {', '.join(lost[:8])}.")
    return Recalled(
        program="ComfyUI",
        settings={name: value for name, value in settings.items() if value is not None},
        loras=tuple(loras),
        base=base,
        left=tuple(plain(one) for one in graph.left),
    )


def _nodes(text: str) -> dict[str, Node]:
    try:
        said = json.loads(text)
        found = {
            str(key): {"id": str(key), "class_type": str(node["class_type"])[:80], "inputs": dict(node["inputs"])}
            for key, node in [*said.items()][:NODES]
            if isinstance(node, dict) and "class_type" in node and isinstance(node.get("inputs"), dict)
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise UserError("This picture's ComfyUI workflow is damaged.", "Choose another copy of it.") from None
    return found


def _first(graph: Graph, samplers: dict[str, Node]) -> Node:
    """The sampler with which a drawing that was saved began, or else one that the others draw over."""
    saved = (node["inputs"] for node in graph.nodes.values() if node["class_type"].startswith("SaveImage"))
    ways = [[one["id"] for one in graph.way(node.get("images"), *_BACK) if one["id"] in samplers] for node in saved]
    if begun := list(dict.fromkeys(way[-1] for way in ways if way)):
        if len(begun) > 1:
            graph.left.append(f"It saves {len(begun)} drawings and does not say which this is; the first is taken.")
        return samplers[begun[0]]
    for node in samplers.values():
        before = graph.way(node["inputs"].get("latent_image"), *_BACK)
        if not any(one["class_type"] in SAMPLERS for one in before):
            return node
    return next(iter(samplers.values()))


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
        own = {name: value for name, value in sigmas["inputs"].items() if name != "model"}  # it may lack the LoRAs
        found = {"scheduler": named if named in ("karras", "exponential") else ""} | found | own
    return found


def _sampling(graph: Graph, inputs: Node) -> dict[str, Any]:
    kept, left = sampling(graph.text(inputs, "sampler_name"), graph.text(inputs, "scheduler"))
    graph.left += left
    denoise, steps = number(graph.value(inputs, "denoise")), whole(graph.value(inputs, "steps"))
    if denoise is not None and denoise < 1:
        graph.left.append(f"It was drawn over a picture at {denoise:g}, which is not in the file.")
    begin, end = whole(graph.value(inputs, "start_at_step")), whole(graph.value(inputs, "end_at_step"))
    if begin or (end is not None and steps is not None and end < steps):
        graph.left.append(f"Steps {begin or 0} to {end} of {steps} were drawn alone; here all are.")
    seed = graph.value(inputs, "seed" if "seed" in inputs else "noise_seed")
    return kept | {"seed": whole(seed), "steps": steps, "guidance": number(graph.value(inputs, "cfg"))}


def _model(graph: Graph, link: Any) -> tuple[str, list[Lora]]:
    """The base, and the LoRAs from it to the sampler."""
    base, loras = "", list[Lora]()
    for node in graph.way(link, "model"):
        inputs = node["inputs"]
        name = next((one for one in ("ckpt_name", "unet_name", "model_name") if one in inputs), "")
        if name and "model" not in inputs:
            base = stem(graph.text(inputs, name, "the base"))
            graph.knows(node)
        if (found := _loras(graph, node["class_type"], inputs)) is not None:
            loras[:0] = found
            graph.knows(node)
    return base, loras


def _loras(graph: Graph, kind: str, inputs: Node) -> list[Lora] | None:
    """The LoRAs that a node loads, several where it is rgthree's; None where it is no loader that is known."""
    if kind.startswith("Power Lora Loader"):
        rows = [one for one in inputs.values() if isinstance(one, dict) and isinstance(one.get("lora"), str)]
        used = [one for one in rows if one.get("on", True)]
        return [_lora(one["lora"], one.get("strength") or 0, one.get("strengthTwo")) for one in used]
    if kind.startswith("Lora Loader Stack"):
        names = {slot: name for slot, name in inputs.items() if slot.startswith("lora_") and isinstance(name, str)}
        return [_lora(name, inputs.get(slot.replace("lora", "strength", 1)))
                for slot, name in names.items() if name != "None"]  # fmt: skip
    if not kind.startswith("LoraLoader") or not (name := graph.text(inputs, "lora_name")):
        return None
    texts = 0.0 if kind == "LoraLoaderModelOnly" else graph.value(inputs, "strength_clip")
    return [_lora(name, graph.value(inputs, "strength_model"), texts)]


def _lora(name: str, strength: Any, texts: Any = None) -> Lora:
    """`texts` is its strength in text encoders, where a node says that apart."""
    given, text = number(strength), number(texts)
    used = 1.0 if given is None else given
    return Lora(stem(name), used, "", {} if text is None or text == used else {"text_strength": text})


def _prompts(graph: Graph, inputs: Node) -> dict[str, Any]:
    """Both prompts, with the guidance that FLUX takes with its prompt, and clip skip."""
    found: dict[str, Any] = {"prompt": "", "negative_prompt": ""}
    for ours, theirs in (("prompt", "positive"), ("negative_prompt", "negative")):
        called, last = f"the {ours.replace('_', ' ')}", None
        for last in graph.way(inputs.get(theirs), "conditioning", "conditioning_1", "conditioning_to", theirs):
            given = last["inputs"]
            if last["class_type"] == "ConditioningZeroOut":
                break
            if ours == "prompt" and "guidance" in given:
                found["guidance"] = number(graph.value(given, "guidance"))
            if last["class_type"] == "FluxGuidance":
                graph.knows(last)
            if last["class_type"].startswith("CLIPTextEncode") and any(one in given for one in _PROMPTS):
                graph.knows(last)
                found[ours] = _prompt(graph, given, called)
                found |= _clip_skip(graph, given.get("clip"))
                break
        else:
            if isinstance(inputs.get(theirs), list):
                graph.lost[called] = _kind(inputs[theirs], last)
    return found


def _prompt(graph: Graph, given: Node, called: str) -> str:
    """The prompt of a node; the first where it has one for each text encoder."""
    texts = [text for one in _PROMPTS if one in given and (text := graph.text(given, one, called))]
    if len(set(texts)) > 1:
        graph.left.append(f"Of {called} only what one text encoder was given is carried over; others had other words.")
    return next(iter(texts), "")


def _clip_skip(graph: Graph, link: Any) -> dict[str, Any]:
    for node in graph.way(link, "clip"):
        if "stop_at_clip_layer" in node["inputs"]:
            graph.knows(node)
            skipped = whole(graph.value(node["inputs"], "stop_at_clip_layer"))
            return {} if skipped is None else {"clip_skip": -skipped}
    return {}


def _latents(graph: Graph, link: Any) -> dict[str, Any]:
    for node in graph.way(link, "samples", "latent", "latent_image"):
        given = node["inputs"]
        if "width" in given and "height" in given:
            graph.knows(node)
            if (whole(graph.value(given, "batch_size")) or 1) > 1:
                graph.left.append("It was drawn in a batch, of which the first is drawn here.")
            return {side: whole(graph.value(given, side)) for side in ("width", "height")}
        if "pixels" in given:
            graph.knows(node)
            graph.left.append("It began with a picture, which is not in the file; here it begins with noise.")
    return {}
