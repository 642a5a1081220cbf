"""The memory plan: counted on the real networks at full size, without a weight, and held against known figures."""

import itertools
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from lora_gui.engine.load import lora
from lora_gui.engine.memory import block_dedup, networks, tracker
from lora_gui.engine.memory.phases import Planner
from lora_gui.engine.memory.plan import GIB, Plan, plan
from lora_gui.engine.train import adapter
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.protocol.jobs import Base, PlanJob
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import plans
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import presets
from tests import soak
from tests.bench import memory_plan

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
# base -> LoRA parameters in millions, saved activations in GiB without and with recomputing, px
# rank 16, batch 1, attention layers; counted independently, with the LoRA in the base's own 16 bits
# GiB that are not kept here: a gated feed-forward's activation, and what layers that share an input keep each of it
# where the LoRA is fused with them. tests/bench/plan_and_step.py holds what is left against real steps.
SPARED = {
    "sd15": 0.09, "sdxl": 1.17, "sd35-medium": 1.75, "sd35-large": 2.99, "flux1-dev": 3.49, "klein-4b": 4.47,
    "klein-9b": 7.51,
}  # fmt: skip
FIGURES = {
    "sd15": (3.19, 0.79, 0.14, 512),
    "sdxl": (23.2, 5.61, 0.45, 1024),
    "sd35-medium": (9.4, 6.93, 0.32, 1024),
    "sd35-large": (23.6, 13.8, 0.78, 1024),
    "flux1-dev": (44.8, 24.7, 1.53, 1024),
    "klein-4b": (16.7, 16.0, 0.69, 1024),
    "klein-9b": (27.8, 27.0, 1.16, 1024),
    "wuerstchen": (6.29, 0.91, 0.16, 1024),  # 1.70 with the attention diffusers gives it, which keeps its matrices
}
QUICK = {("sd15", False), ("klein-4b", True)}


@pytest.fixture(scope="session")
def kept(tmp_path_factory) -> Path:
    """Where a studio keeps what was counted; all tests have one."""
    return Studio(tmp_path_factory.mktemp("studio")).cache / "plans"


def studio_of(kept: Path) -> Studio:
    return Studio(kept.parents[1])


def base_of(key: str) -> Base:
    return plans.base_of(Studio(Path("none")), key)


def settings_of(key: str, **changes) -> TrainSettings:
    known = family(base_of(key).family).facts.train_defaults
    fixed = {"layers": "attention", "rank": 16, "alpha": 16, "precision": "bf16", "batch_size": 1}
    return TrainSettings(**(known | fixed | changes))


def planner_of(key: str, kept: Path) -> Planner:
    return Planner(networks.components(base_of(key)), family(base_of(key).family), kept)


def planned(key: str, kept: Path, vram: float = 12, ram: float = 32, **changes) -> Plan:
    job = PlanJob(base=base_of(key), settings=settings_of(key, **changes), vram_gib=vram, ram_gib=ram, cache=str(kept))
    return plan(job, family(job.base.family))


def with_16_bit_loras(monkeypatch):
    """As the known figures were counted."""
    original = lora.add_new

    def add_new(parts, *args):
        weights = original(parts, *args)
        for weight in weights:
            weight.data = weight.data.to(torch.bfloat16)
        return weights

    monkeypatch.setattr(lora, "add_new", add_new)


def traced() -> list:
    return soak.but(QUICK, itertools.product(FIGURES, (False, True)))


@pytest.mark.parametrize(("key", "recomputing"), traced())
def test_saved_activations_are_those_counted_elsewhere(key, recomputing, monkeypatch, tmp_path):
    _, without, with_recomputing, px = FIGURES[key]
    with_16_bit_loras(monkeypatch)
    settings = settings_of(key, resolution=px, gradient_checkpointing="blocks" if recomputing else "none")
    saved = planner_of(key, tmp_path).train(settings).saved / GIB
    expected = with_recomputing if recomputing else without - SPARED.get(key, 0)
    assert saved == pytest.approx(expected, rel=0.25 if recomputing else 0.1, abs=0.08)


@pytest.mark.parametrize("key", ["sd15", pytest.param("flux1-dev", marks=pytest.mark.soak)])
def test_the_lora_has_as_many_weights_as_known(key, kept):
    count = planner_of(key, kept)._lora(settings_of(key))["weights"] / 4
    assert count / 1e6 == pytest.approx(FIGURES[key][0], rel=0.02)


@pytest.mark.parametrize(("card", "told"), [((7, 5), True), ((8, 6), False), (None, False)])
def test_a_plan_says_where_the_card_is_slow_in_bf16(kept, card, told):
    job = PlanJob(base=base_of("sd15"), settings=settings_of("sd15"), vram_gib=12, ram_gib=32, cache=str(kept))
    notes = plan(job.model_copy(update={"capability": card}), family("sd1")).notes
    assert any("computed in fp16" in note for note in notes) == told


@pytest.mark.soak
def test_flux_fits_a_card_of_12_gb_and_the_second_plan_is_there_at_once(kept):
    first = planned("flux1-dev", kept, resolution=1024, gradient_checkpointing="blocks")
    counted = set(kept.iterdir())
    assert planned("flux1-dev", kept, resolution=1024, gradient_checkpointing="blocks") == first
    assert set(kept.iterdir()) == counted
    assert first.fits and first.peak_gib * GIB <= 11e9
    assert first.changed == {"precision": "nf4"} and "4 bits" in first.notes[0]
    assert {"encode_text", "encode_pictures", "train", "sample"} == set(first.to_json()["phases"])
    json.dumps(first.to_json())


@pytest.mark.soak
@pytest.mark.parametrize("key", memory_plan.LIMITS)
def test_every_base_fits_a_card_of_12_gb_with_every_preset(key, kept):
    found = {preset: memory_plan.planned(studio_of(kept), base_of(key), preset) for preset in presets.ORDER}
    for preset, one in found.items():
        small = one.peak_gib * GIB <= memory_plan.LIMITS[key] * 1e9
        assert one.fits and not one.changed and small, (preset, one.to_json())


QUICK_PEAKS = ("sd15", "klein-4b")  # a U-Net and a transformer; the others take a minute


@pytest.mark.parametrize("key", soak.but(QUICK_PEAKS, memory_plan.LIMITS))
def test_the_readme_tells_the_peaks_that_are_planned(key, kept):
    found = [memory_plan.planned(studio_of(kept), base_of(key), preset).peak_gib for preset in presets.ORDER]
    assert memory_plan.row(base_of(key), found) in README.splitlines()


def test_the_readme_has_a_peak_within_its_limit_for_every_base_and_preset():
    lines = README.splitlines()
    start = lines.index(memory_plan.HEAD[0])
    for number, base in enumerate(plans.all_bases(), start + 2):
        peaks = [float(cell) for cell in lines[number].split("|")[2:5]]
        assert memory_plan.row(base, peaks) == lines[number]
        assert max(peaks) * GIB <= memory_plan.LIMITS[base.key] * 1e9


@pytest.mark.soak
@pytest.mark.parametrize("card", [card for card in presets.CARDS if card != presets.USUAL])
@pytest.mark.parametrize("key", memory_plan.LIMITS)
def test_every_preset_fits_the_card_it_is_for_as_it_stands(key, card, kept):
    for preset in presets.ORDER:
        plan = memory_plan.planned(studio_of(kept), base_of(key), preset, card)
        assert plan.fits and not plan.changed, (preset, plan.to_json())


@pytest.mark.parametrize(
    ("key", "widths"),
    [("sd15", {"vae": 4}), ("klein-4b", {"vae": 4}), ("kandinsky22", {"movq": 4, "prior/image_encoder": 2})],
)
def test_autoencoders_are_planned_to_encode_in_fp32(key, widths, kept):
    told = networks.components(base_of(key))
    phase = planner_of(key, kept).encode_pictures(settings_of(key))
    held = sum(width * told[name]["params"] for name, width in widths.items())
    assert phase.weights == pytest.approx(held, rel=0.001)


# base -> GiB that a training needs at most where only time is given for memory: no other precision, size or rank
LEAST = {"sd15": 3.0, "klein-4b": 6.0, "flux1-dev": 8.5}


@pytest.mark.parametrize("key", ["sd15", "klein-4b", pytest.param("flux1-dev", marks=pytest.mark.soak)])
def test_where_what_is_kept_waits_in_ram_a_training_needs_little(key, kept):
    planner = planner_of(key, kept)
    for preset in presets.ORDER:
        filled = presets.fill(studio_of(kept), preset, base_of(key), 20, card=12)
        less = filled.model_copy(update={"gradient_checkpointing": "blocks_in_ram"})
        needed = {name: phase.total / GIB for name, phase in planner.phases(less).items()}
        assert max(needed.values()) <= LEAST[key], (preset, needed)
        kept_there = filled.model_copy(update={"gradient_checkpointing": "blocks"})
        assert planner.train(less).saved < 0.2 * planner.train(kept_there).saved
        if key == "sd15":  # elsewhere RAM must hold more than that before, to read captions
            moved = planner.train(kept_there).saved - planner.train(less).saved
            assert planner.ram(less) - planner.ram(kept_there) == pytest.approx(moved)


@pytest.mark.parametrize("card", [6, 8])
def test_flux_learns_at_1024_pixels_on_small_cards_as_the_presets_fill_it_in(card, kept):
    for preset in presets.ORDER:
        found = memory_plan.planned(studio_of(kept), base_of("flux1-dev"), preset, card)
        assert found.settings.resolution == 1024 and found.fits and not found.changed, found.to_json()
        assert found.peak_gib <= card - 0.5 and found.ram <= 16 * GIB  # a screen takes its share of the card


def test_gradients_in_fp32_count_once_the_activations_have_gone(kept):
    planner = planner_of("sd15", kept)
    settings = settings_of("sd15", gradient_checkpointing="blocks_in_ram", resolution=64, rank=256)
    phase, held = planner.training(settings), planner._lora(settings)
    assert phase.saved + phase.working == held["gathered"] == held["weights"] > planner.train(settings).peak
    several = settings.model_copy(update={"accumulation": 2})  # they stay from one batch to the next
    assert planner.training(several).lora - phase.lora == held["gathered"]
    assert planner.training(several).working < phase.working
    holding = settings.model_copy(update={"preservation": 1.0})  # and from one pass of a step to the next
    assert planner.training(holding).to_json() == planner.training(several).to_json()


def test_gradients_count_all_the_time_where_steps_are_recorded(kept):
    settings, planner = settings_of("sd15", gradient_checkpointing="blocks", resolution=64), planner_of("sd15", kept)
    unrecorded = settings.model_copy(update={"record_steps": False})
    more = planner.training(settings).lora - planner.training(unrecorded).lora
    assert more == planner._lora(unrecorded)["gathered"] == planner._lora(unrecorded)["weights"]


def test_what_a_network_is_given_counts_until_the_step_ends():
    class Mean(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x.mean(0))

    layer = Mean(64, 64, device="meta")
    trace = tracker.training([layer], [lambda: layer(torch.empty(1000, 64, device="meta"))])
    assert trace.saved >= 1000 * 64 * 4 and not layer._forward_pre_hooks


@pytest.mark.soak
def test_where_there_is_room_pictures_come_at_once_and_less_is_recomputed(kept):
    asked = {"accumulation": 6, "gradient_checkpointing": "blocks"}
    roomy = planned("sd15", kept, vram=24, **asked)
    assert roomy.quicker == {"batch_size": 6, "accumulation": 1, "gradient_checkpointing": "none"}
    assert "6 pictures fit at once" in roomy.gains[0] and "Recomputing nothing" in roomy.gains[1] and not roomy.changed
    again = planned("sd15", kept, vram=24, **asked | roomy.quicker)
    assert again.fits and not again.quicker and again.peak_gib <= 24 * 0.92
    tighter = planned("sd15", kept, vram=4.5, **asked)
    assert tighter.fits and tighter.quicker["batch_size"] in (2, 3, 6) and tighter.quicker != roomy.quicker


def test_a_card_that_is_large_enough_gets_what_was_asked_for(kept):
    asked = {"resolution": 512, "gradient_checkpointing": "blocks"}
    plan = planned("klein-4b", kept, vram=24, **asked)
    assert plan.fits and not plan.changed and not plan.notes and plan.settings == settings_of("klein-4b", **asked)
    assert plan.peak_gib < 12


def test_what_holds_the_base_is_told_by_what_it_costs(kept):
    plan = planned("klein-4b", kept, vram=24, class_words="a woman", class_pictures=80, preservation=1)
    assert plan.notes[0].startswith("Each step takes about 2.7 times as long") and "80 pictures" in plan.notes[0]


def test_fewer_pictures_are_looked_at_at_once_before_anything_else_is_given_up(kept):
    plan = planned("sd15", kept, vram=6, batch_size=32, resolution=512, accumulation=2)
    parts = plan.changed["accumulation"]
    assert plan.fits and plan.changed.keys() == {"batch_size", "accumulation"} and plan.settings.batch_size > 1
    assert plan.settings.batch_size * parts == 64 and "32 pictures of a step" in plan.notes[0]
    more = planned("sd15", kept, vram=6, batch_size=2 * plan.settings.batch_size, resolution=512)
    assert more.changed  # it is as many as fit


@pytest.mark.soak
def test_where_one_picture_at_a_time_is_too_much_the_rest_is_given_up_and_the_step_stays(kept):
    little = planned("sd15", kept, vram=2.5, batch_size=8, resolution=512)
    assert little.settings.batch_size * little.settings.accumulation == 8 and "precision" in little.changed


def test_pictures_that_cannot_be_encoded_on_the_card_are_learnt_smaller(kept, monkeypatch):
    traced, trace = [], Planner._train_trace
    monkeypatch.setattr(Planner, "_train_trace", lambda one, told: traced.append(told.resolution) or trace(one, told))
    plan = planned("sd15", kept, vram=8, resolution=2048, gradient_checkpointing="blocks")
    assert set(traced) <= {2048, plan.settings.resolution}  # a step is counted only where its pictures can be encoded
    assert plan.fits and plan.changed.keys() == {"resolution"} and plan.settings.resolution > 1024


@pytest.mark.soak
def test_what_does_not_fit_is_recomputed_first_then_held_in_fewer_bits_then_streamed(kept):
    asked = {"resolution": 512, "gradient_checkpointing": "none"}
    whole = planned("sd15", kept, 24, **asked).phases["train"].total / GIB
    recomputed = planned("sd15", kept, whole - 0.1, **asked)
    assert recomputed.fits and recomputed.changed == {"gradient_checkpointing": "feed_forward"}
    assert "longer" in recomputed.notes[0]
    tight = planned("sd15", kept, recomputed.peak_gib - 0.3, **asked)
    assert tight.fits and tight.changed["precision"] in ("int8", "nf4")
    tightest = planned("sd15", kept, 1.9, **asked)
    assert tightest.changed["streamed_blocks"] > 0 and "RAM" in " ".join(tightest.notes)


def test_on_a_mac_scores_and_text_encoders_count_and_nothing_waits_in_ram(kept):
    asked = {"gradient_checkpointing": "blocks_in_ram", "streamed_blocks": 9, "optimizer": "adamw8bit"}
    job = PlanJob(
        base=base_of("sd15"), settings=settings_of("sd15", **asked), vram_gib=12, ram_gib=18, cache=str(kept),
        unified=True,
    )  # fmt: skip
    found = plan(job, family("sd1"))
    expected = {"gradient_checkpointing": "blocks", "streamed_blocks": 0, "optimizer": "adamw"}
    assert found.fits and found.settings == settings_of("sd15", **expected)
    assert found.phases["train"].working > 2 * 8 * 4096**2 * 2  # bytes of two squares of scores


def test_too_little_of_the_computers_own_memory_is_said(kept):
    plan = planned("klein-4b", kept, ram=1, resolution=512, gradient_checkpointing="blocks")
    assert not plan.fits and "own memory" in plan.notes[-1]


def test_where_nothing_helps_it_says_what_needs_the_most(kept):
    plan = planned("klein-4b", kept, vram=1, resolution=256, precision="nf4", gradient_checkpointing="blocks")
    assert not plan.fits and plan.changed["streamed_blocks"] == 25
    assert plan.notes[-1].startswith(f"It needs {plan.peak_gib:.1f} GB of the card while reading the captions")


def test_an_unknown_base_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="not known"):
        networks.components(Base(key="nonsense", title="", family="sd1", path=""))


def test_storages_are_counted_once_and_forgotten_when_they_go():
    with tracker.Live() as live:
        a = torch.empty(1000, device="meta")
        b = a.view(10, 100)[2:]
        assert live.now == 4000
        c = b + 1
        assert live.now == 4000 + c.nbytes
        del c
        assert live.now == 4000
    assert live.total() == (4000, 4000 + 3200, 0)


def few_blocks(recomputing: bool, short: bool) -> tracker.Trace:
    """One step of a narrow FLUX.1 with a LoRA, whole or without the blocks that are like others."""
    config = {
        "in_channels": 64, "num_layers": 4, "num_single_layers": 5, "attention_head_dim": 16, "num_attention_heads": 2,
        "joint_attention_dim": 32, "pooled_projection_dim": 16, "axes_dims_rope": (4, 6, 6),
    }  # fmt: skip
    component = {"library": "diffusers", "class": "FluxTransformer2DModel", "config": config}
    run = family("flux1").workload({"transformer": config}).denoisers["transformer"]
    network = networks.build(component, torch.bfloat16)
    runs = block_dedup.shorten(network) if short else []
    with torch.device("meta"):
        lora.add_new({"transformer": network}, family("flux1"), settings_of("flux1-dev"), "ours")
        masters = adapter.fuse({"transformer": network}, "ours", torch.bfloat16)
    if recomputing:
        network.enable_gradient_checkpointing()
    call = partial(run, network, 1, 256, torch.bfloat16)
    return tracker.training([network], [call], masters[0].buffers(), runs)


@pytest.mark.parametrize("recomputing", [False, True])
def test_leaving_out_what_was_met_before_counts_the_same(recomputing, monkeypatch):
    short = few_blocks(recomputing, short=True)
    monkeypatch.setattr(tracker, "_promises_new", lambda operation: False)  # work each form out again
    assert few_blocks(recomputing, short=False) == short
    assert short.saved < short.peak


def test_what_is_kept_for_the_backward_is_what_autograd_keeps():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64)).to("meta")
    x = torch.empty(16, 64, device="meta")
    kept = {}
    own = {p.untyped_storage()._cdata for p in layers.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in own and tensor.data_ptr() != 1:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = layers(x)
    trace = tracker.training([layers], [lambda: layers(torch.empty(16, 64, device="meta"))])
    assert trace.saved == pytest.approx(sum(kept.values()) + 2 * out.nbytes, rel=0.15)


def test_attention_is_counted_as_on_a_card_and_not_as_its_square():
    q = torch.empty(1, 8, 4096, 64, device="meta", dtype=torch.bfloat16, requires_grad=True)
    trace = tracker.forward(nn.Identity(), lambda: nn.functional.scaled_dot_product_attention(q, q, q))
    assert trace.peak < 2 * q.nbytes
    mask = torch.empty(1, 1, 4096, 4096, device="meta", dtype=torch.bool)
    trace = tracker.forward(nn.Identity(), lambda: nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask))
    assert trace.peak < 2 * q.nbytes + 2 * mask.numel() + GIB // 100
