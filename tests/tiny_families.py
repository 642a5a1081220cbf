"""The tiny base of every family: who makes it."""

from collections.abc import Callable
from pathlib import Path

from tests import tiny
from tests.tiny_flux_1 import flux_1
from tests.tiny_flux_2_klein import flux_2_klein
from tests.tiny_kandinsky_2_2 import kandinsky_2_2
from tests.tiny_stable_diffusion_3 import stable_diffusion_3
from tests.tiny_stable_diffusion_xl import stable_diffusion_xl
from tests.tiny_wuerstchen import wuerstchen
from tests.tiny_z_image import z_image

MAKERS: dict[str, Callable[[Path], Path]] = {
    "sd1": tiny.stable_diffusion_1,
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "flux1": flux_1,
    "klein": flux_2_klein,
    "kandinsky22": kandinsky_2_2,
    "wuerstchen": wuerstchen,
    "zimage": z_image,
}
