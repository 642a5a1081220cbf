"""A transformer in one file, its networks beside it, draws exactly what the folder draws that it was made of."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers.loaders import single_file_utils
from PIL import Image

from lora_gui import families
from lora_gui.engine.draw.drawer import Drawer
from lora_gui.engine.load import assemble, checkpoint_file, tokenizers, unpack
from lora_gui.errors import UserError
from lora_gui.facts import SWAPPED
from lora_gui.families import family
from lora_gui.formats.naming import Translation
from lora_gui.protocol.events import Drawn
from lora_gui.protocol.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings
from tests import tiny_apart, tiny_clip, tiny_flux_1, tiny_single_file, tiny_stable_diffusion_3
from tests.tiny import outcome

TINY = {
    "flux1": ("flux1-dev", tiny_flux_1, tiny_flux_1.flux_1),
    "sd3": ("sd35-medium", tiny_stable_diffusion_3, tiny_stable_diffusion_3.stable_diffusion_3),
}


@pytest.fixture(scope="module", autouse=True)
def lists(tmp_path_factory):
    """The app's lists of pieces, as small as tiny bases need them."""
    home = tmp_path_factory.mktemp("lists")
    clip, t5 = home / "clip", home / "t5"
    clip.mkdir()
    t5.mkdir()
    (clip / "merges.txt").write_text("\n".join(tiny_single_file._MERGES) + "\n")
    (t5 / "spiece.model").write_bytes(tiny_apart.sentence_model(tiny_flux_1._pieces()))
    tokenizers.t5_tokenizer.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizers, "CLIP", clip)
        patch.setattr(tokenizers, "T5", t5)
        patch.setattr(tiny_clip, "LENGTH", 77)
        for _, module, _ in TINY.values():
            patch.setattr(module, "tokenizer", lambda folder: tokenizers.clip_tokenizer("tokenizer"))
        yield
    tokenizers.t5_tokenizer.cache_clear()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """By the key of a family the folder of a base and one with it as one file; copied, since tests change them."""
    home = tmp_path_factory.mktemp("made")

    def make(key):
        like, _, make = TINY[key]
        folder = make(home / key / "made")
        if key == "sd3":
            tokenizers.clip_tokenizer("tokenizer_2").save_pretrained(folder / "tokenizer_2")
        facts, path, parts = tiny_apart.write(folder, home / key / "apart", families.facts_of(key), like)
        return home / key, folder, facts, path, parts

    return functools.cache(make)


@pytest.fixture(params=TINY)
def base(request, made, tmp_path, monkeypatch):
    """A base of one file with its networks apart, and the folder it was made of."""
    like, (home, *places, facts, path, parts) = TINY[request.param][0], made(request.param)
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    folder, path = (tmp_path / place.relative_to(home) for place in (*places, path))
    tiny_apart.patched(monkeypatch, family(request.param), facts, tmp_path / "apart")
    held = {part: str(tmp_path / place.relative_to(home)) for part, place in parts.items()}
    return Base(key="mine", title="Mine", family=request.param, path=str(path), like=like, parts=held), folder


def drawn(base: Base, folder: Path) -> np.ndarray:
    settings = DrawSettings(prompt="a red fox", width=64, height=64, steps=2, seed=3, negative_prompt="blur")
    order = DrawJob(id="a", base=base, settings=settings, folder=str(folder), cache=str(folder / "cache"))
    done = [event for event in Drawer().draw(order, print, lambda: False) if isinstance(event, Drawn)]
    with Image.open(done[0].path) as image:
        return np.asarray(image.convert("RGB"))


def test_it_draws_pixel_for_pixel_what_the_folder_draws(base, tmp_path):
    single, folder = base
    whole = single.model_copy(update={"path": str(folder), "parts": {}})
    expected = drawn(whole, tmp_path / "one")
    assert np.array_equal(drawn(single, tmp_path / "two"), expected) and expected.std() > 0
    made, _ = outcome(unpack.as_folder(single, str(tmp_path / "two" / "cache")))
    links = {path.parent.name for path in Path(made.path).rglob("*.safetensors") if path.is_symlink()}
    assert "text_encoder" in links  # used where it lies, not copied


def test_networks_within_the_file_draw_the_same(base, tmp_path):
    single, folder = base
    tensors = {f"model.diffusion_model.{k}": v for k, v in safetensors.torch.load_file(single.path).items()}
    for part, place in single.parts.items():
        tensors |= {f"{part}.{name}": value for name, value in safetensors.torch.load_file(place).items()}
    path = tmp_path / "all in one.safetensors"
    safetensors.torch.save_file(tensors, path)
    both = single.model_copy(update={"path": str(path), "parts": {}})
    whole = single.model_copy(update={"path": str(folder), "parts": {}})
    assert np.array_equal(drawn(both, tmp_path / "two"), drawn(whole, tmp_path / "one"))


def test_a_network_that_is_gone_since_is_named_and_one_that_changes_is_read_anew(base, tmp_path):
    single, _ = base
    first, _ = outcome(unpack.as_folder(single, str(tmp_path / "cache")))
    vae = Path(single.parts["vae"])
    tensors = {name: value * 2 for name, value in safetensors.torch.load_file(vae).items()}
    safetensors.torch.save_file(tensors, vae)
    second, _ = outcome(unpack.as_folder(single, str(tmp_path / "cache")))
    assert first.path != second.path and not Path(first.path).exists()
    vae.unlink()
    with pytest.raises(UserError, match="vae of mine.safetensors"):
        outcome(unpack.as_folder(single, str(tmp_path / "cache")))


def test_the_largest_text_encoder_may_be_left_out_where_the_family_can_do_without(tmp_path, monkeypatch):
    like, _, make = TINY["sd3"]
    folder = make(tmp_path / "made", t5=False)
    tokenizers.clip_tokenizer("tokenizer_2").save_pretrained(folder / "tokenizer_2")
    with_t5 = make(tmp_path / "with")
    facts, path, parts = tiny_apart.write(with_t5, tmp_path / "apart", families.facts_of("sd3"), like)
    safetensors.torch.save_file(
        tiny_apart.original(tiny_apart.weights(folder / "transformer"), facts), path
    )
    tiny_apart.patched(monkeypatch, family("sd3"), facts, tmp_path / "apart")
    for part in ("text_encoder", "text_encoder_2", "vae"):
        safetensors.torch.save_file(tiny_apart.beside(part, tiny_apart.weights(folder / part)), parts[part])
    held = {part: str(place) for part, place in parts.items() if part != "text_encoder_3"}
    single = Base(key="mine", title="Mine", family="sd3", path=str(path), like=like, parts=held)
    whole = single.model_copy(update={"path": str(folder), "parts": {}})
    assert np.array_equal(drawn(single, tmp_path / "two"), drawn(whole, tmp_path / "one"))


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "text_encoder_2", "vae"])
def test_a_tensor_that_is_missing_is_named_and_never_made_up(base, tmp_path, part):
    single, _ = base
    place = Path(single.path if part == "transformer" else single.parts[part])
    held = safetensors.torch.load_file(place)
    del held[next(name for name in sorted(held)[len(held) // 2 :] if "projection" not in name)]
    safetensors.torch.save_file(held, place)
    with pytest.raises(UserError, match=f"{place.name} is not whole: its {part} lacks"):
        outcome(unpack.as_folder(single, str(tmp_path / "cache")))


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_clip_l_says_in_all_is_not_projected_for_stable_diffusion_3(base, tmp_path, monkeypatch, is_folder):
    """As in the program of its makers, in ComfyUI and in diffusers' `create_diffusers_clip_model_from_ldm`."""
    single, _ = base
    build = families.facts_of(single.family).single_files[0]
    monkeypatch.setattr(assemble, "CLIP_L", build.apart["text_encoder"])
    place = Path(single.parts["text_encoder"])
    held = safetensors.torch.load_file(place)
    if is_folder:  # as one of FLUX.1 may be lent, which has no projection
        held.pop("text_projection.weight", None)
        place = tmp_path / "text_encoder" / "model.safetensors"
        place.parent.mkdir()
        safetensors.torch.save_file({name.removeprefix("text_model."): held[name] for name in held}, place)
    at = place.parent if is_folder else place
    lent = single.model_copy(update={"parts": single.parts | {"text_encoder": str(at)}})
    made, _ = outcome(unpack.as_folder(lent, str(tmp_path / "cache")))
    found = tiny_apart.weights(Path(made.path) / "text_encoder")
    norm = held["text_model.final_layer_norm.weight"]
    if single.family == "sd3":
        assert torch.equal(found.pop("text_projection.weight"), torch.eye(len(norm), dtype=norm.dtype))
    own = {name.removeprefix("text_model."): value for name, value in held.items() if "projection" not in name}
    named = {name.removeprefix("text_model."): value for name, value in found.items()}
    assert named.keys() == own.keys() and all(torch.equal(named[name], value) for name, value in own.items())


CONVERT = {
    "flux1": ("flux1-dev", single_file_utils.convert_flux_transformer_checkpoint_to_diffusers),
    "sd3": ("sd35-medium", single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers),
}


@pytest.mark.parametrize("key", CONVERT)
def test_every_row_of_the_real_sizes_goes_where_diffusers_puts_it(key, tmp_path, monkeypatch):
    """Rows are numbered instead of weights, so that networks of their real sizes can be converted both ways."""
    facts = families.facts_of(key)
    like, convert = CONVERT[key]
    config = json.loads(families.configuration(like).read_text())["components"]["transformer"]
    with torch.device("meta"):
        import diffusers

        network = getattr(diffusers, config["class"]).from_config(config["config"])
    real = {name: value.shape for name, value in network.state_dict().items()}
    pairs = facts.checkpoint_names | facts.checkpoint_norms
    back = Translation((own.rstrip(SWAPPED), (theirs, *all)) for theirs, all in pairs.items() for own in all)
    rows, shapes = {}, {}
    for name, shape in real.items():
        module, _, leaf = name.rpartition(".")
        theirs, *own = back.of(module)
        spelt = f"{theirs}.{'scale' if 'y_norm' in theirs else leaf}".lstrip(".")
        outputs = sum(real[f"{one.rstrip(SWAPPED)}.{leaf}"][0] for one in own)
        shapes[spelt] = (outputs, *shape[1:])
        if spelt not in rows:
            rows[spelt] = torch.arange(outputs) + 1_000_000 * len(rows)
    monkeypatch.setattr(checkpoint_file, "tensors", lambda file, start, dtype=None: iter(rows.items()))
    monkeypatch.setattr(checkpoint_file.single_file, "of", lambda file: type("Held", (), {"shapes": shapes}))
    found = dict(checkpoint_file.denoiser(tmp_path, facts, "", torch.float32))
    expected = convert(dict(rows))
    assert found.keys() == expected.keys() == real.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_fp8_is_cast_with_its_scales_and_other_few_bits_are_refused(tmp_path):
    path, weight = tmp_path / "a.safetensors", torch.randn(4, 6)
    scale = torch.tensor(0.25)
    low = (weight / scale).to(torch.float8_e4m3fn)
    held = {"a.weight": low, "a.scale_weight": scale, "scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn)}
    safetensors.torch.save_file(held | {"b.weight": weight.to(torch.float8_e5m2), "b.bias": weight[0]}, path)
    found = dict(checkpoint_file.tensors(path, ""))
    assert found.keys() == {"a.weight", "b.weight", "b.bias"}
    assert torch.equal(found["a.weight"], (low.float() * 0.25).bfloat16()) and found["b.bias"].dtype == torch.float32
    assert torch.equal(found["b.weight"], weight.to(torch.float8_e5m2).bfloat16())
    rows = {"a.weight": low, "a.weight_scale": torch.full((4, 1), 0.5)}
    safetensors.torch.save_file(rows, path)
    assert torch.equal(dict(checkpoint_file.tensors(path, ""))["a.weight"], (low.float() * 0.5).bfloat16())
    packed = {"a.weight": torch.zeros(4, 3, dtype=torch.uint8)}
    blocks = {"a.weight": low, "a.weight_scale": torch.ones(2, 2)}  # as many as there are rows
    for odd in (packed, blocks, {"a.weight": low, "a.weight_scale": torch.ones(4, 2)}):
        safetensors.torch.save_file(odd, path)
        with pytest.raises(UserError, match="few bits"):
            list(checkpoint_file.tensors(path, ""))
