"""What the average, dropout, a DoRA and a LoKr cost stands in the memory plan."""

import pytest

from tests.engine.memory.test_memory import planner_of, settings_of


def test_what_practised_trainers_have_costs_what_it_holds_and_nothing_where_it_is_off(tmp_path):
    planner = planner_of("sd15", tmp_path)
    plain = planner._lora(settings_of("sd15"))
    count = plain["weights"] // 4
    held = sum(plain.values())
    assert sum(planner._lora(settings_of("sd15", ema_decay=0.99)).values()) - held == 4 * count
    for free in ({"lora_plus": 4}, {"max_norm": 1}, {"loss": "huber"}, {"debiased": True}, {"rank_dropout": 0.1}):
        assert sum(planner._lora(settings_of("sd15", **free)).values()) == held
    fp32 = [settings_of("sd15", precision="fp32", rank_dropout=share) for share in (0, 0.1)]
    exact = [sum(planner._lora(settings).values()) for settings in fp32]
    assert exact[1] - exact[0] == 8 * count  # fp32 computes with the weights themselves else


def test_a_lokr_holds_less_than_a_lora_of_its_rank_and_its_file_is_as_much_smaller(tmp_path):
    planner = planner_of("sd15", tmp_path)
    plain, fine, coarse = (
        planner._lora(settings_of("sd15", **kind))
        for kind in ({}, {"adapter": "lokr", "lokr_factor": 4}, {"adapter": "lokr", "lokr_factor": 8})
    )
    assert coarse["weights"] < fine["weights"] / 1.8 < plain["weights"] / 4
    assert sum(coarse.values()) / sum(plain.values()) < 0.2
    saved = [planner.train(settings_of("sd15", **kind)).saved for kind in ({}, {"adapter": "lokr"})]
    assert saved[0] < saved[1] < 2.5 * saved[0]


@pytest.mark.soak
def test_a_dora_keeps_what_each_of_its_layers_gives(tmp_path):
    planner = planner_of("sd15", tmp_path)
    plain, dora = (planner.train(settings_of("sd15", dora=dora)) for dora in (False, True))
    more = planner._lora(settings_of("sd15", dora=True))["weights"] - planner._lora(settings_of("sd15"))["weights"]
    assert 0 < more < 0.05 * planner._lora(settings_of("sd15"))["weights"]
    assert 1.05 * plain.saved < dora.saved < 1.6 * plain.saved


def test_a_text_encoder_that_learns_has_a_lora_and_keeps_what_its_backward_needs(tmp_path):
    planner = planner_of("sd15", tmp_path)
    assert planner._learners(settings_of("sd15")).keys() == planner.denoisers.keys() == {"unet"}
    planner.denoisers = {}  # which would take seconds
    one, two = (settings_of("sd15", train_text_encoder=True, batch_size=n, precision="int8") for n in (1, 2))
    assert planner._lora(one)["weights"] == 4 * 12 * 4 * 2 * 768 * 16  # bytes, layers, projections, halves, width, rank
    assert planner.least(one) > 2 * 123.06e6  # in 16 bits, whatever the rest is held in
    states = 12 * 77 * 768 * 2  # bytes of what the layers give of one caption
    saved = [planner.train(settings).saved for settings in (one, two)]
    assert 5 * states < saved[0] < 0.6 * saved[1]
