"""What a base says of its noise: marks in a checkpoint, a .yaml beside it, a scheduler's configuration."""

import pytest

from lora_gui.errors import UserError
from lora_gui.formats import noise_kind

V, EPS = "v_prediction", "epsilon"
SGM = "denoiser_config:\n  params:\n    scaling_config:\n      target: sgm.modules.diffusionmodules.denoiser_scaling."


@pytest.mark.parametrize(
    ("yaml", "tensors", "told"),
    [
        ('model:\n  params:\n    parameterization: "v"\n', [], (V, False)),
        ("\ufeffmodel: {params: {parameterization: v}}", [], (V, False)),
        ("parameterization: 'v' # velocity\r\nzero_terminal_snr: True", [], (V, True)),
        ('# parameterization: "v"\nmodel: {}', [], ("", False)),
        ('parameterization: "eps"', [], (EPS, False)),
        (f"{SGM}VScaling", [], (V, False)),
        (f"{SGM}EpsScaling", [], (EPS, False)),
        ('parameterization: "eps"', ["v_pred", "ztsnr"], (V, True)),
        ("[" * 100_000, [], ("", False)),
        ("x" * 2_000_000, [], ("", False)),
        (None, ["v_pred"], (V, False)),
        (None, ["w"], ("", False)),
    ],
)
def test_what_a_checkpoint_predicts_is_read_from_its_marks_and_the_yaml_beside_it(tmp_path, yaml, tensors, told):
    if yaml is not None:
        (tmp_path / "base.yaml").write_text(yaml)
    assert noise_kind.of_checkpoint(tmp_path / "base.safetensors", tensors) == told


def test_a_header_counts_where_it_says_v_and_nothing_else_says_otherwise(tmp_path):
    path = tmp_path / "base.safetensors"
    assert noise_kind.of_checkpoint(path, [], "v") == (V, False)
    assert noise_kind.of_checkpoint(path, [], "epsilon") == ("", False)  # which kohya says of SD 3.5 as well
    assert noise_kind.of_checkpoint(path, ["v_pred"], "epsilon") == (V, False)
    path.with_suffix(".yaml").write_text("parameterization: eps")
    assert noise_kind.of_checkpoint(path, [], "v") == (EPS, False)


@pytest.mark.parametrize(
    ("yaml", "tensors", "words"),
    [
        ("", ["edm_vpred.sigma_max"], "EDM"), ("", ["edm_mean"], "EDM"), (f"{SGM}EDMScaling", [], "EDM"),
        (f"{SGM}VScalingWithEDMcNoise", [], "EDM"), ("parameterization: rectified_flow", [], "'rectified_flow'"),
    ],
)  # fmt: skip
def test_noise_that_is_not_read_is_refused_by_name(tmp_path, yaml, tensors, words):
    (tmp_path / "base.yml").write_text(yaml)
    with pytest.raises(UserError, match=words):
        noise_kind.of_checkpoint(tmp_path / "base.safetensors", tensors)
