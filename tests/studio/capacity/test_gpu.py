"""The GPU that torch uses: asked of the driver's library, and of one that is late, ill or absent."""

import platform
import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import computer, gpu, plans
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.launching import until

GIB = 2**30


class Driver:
    """Stands in for the module pynvml: its real names and errors, over a computer made up of `cards`, in PCI order."""

    NVMLError = pynvml.NVMLError
    NVMLError_NotSupported = pynvml.NVMLError_NotSupported
    NVMLError_FunctionNotFound = pynvml.NVMLError_FunctionNotFound
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __init__(self, *cards, fails=()):
        self.cards, self.fails, self.asked = cards, list(fails), 0
        self.late = threading.Event()
        self.late.set()

    def nvmlInit(self):
        self.asked += 1
        self.late.wait(30)
        if self.fails:
            raise self.fails.pop(0)

    def nvmlShutdown(self): ...

    def nvmlDeviceGetCount(self):
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        for card in self.cards:
            for one in (card, *card.parts):
                if one.uuid == uuid:
                    return one
        raise pynvml.NVMLError_NotFound()

    def nvmlDeviceGetUUID(self, card):
        return card.uuid

    def nvmlDeviceGetMemoryInfo(self, card, version=None):
        return SimpleNamespace(total=int(card.gib * GIB), free=1, used=1)

    def nvmlDeviceGetCudaComputeCapability(self, card):
        if not card.cores:
            raise pynvml.NVMLError_NotSupported()
        return [7, 5] if card.cores < 5000 else [8, 9]

    def nvmlDeviceGetName(self, card):
        return "NVIDIA GeForce RTX 3060"

    def nvmlSystemGetDriverVersion(self):
        return "570.86"

    def nvmlDeviceGetNumGpuCores(self, card):
        if not card.cores:
            raise pynvml.NVMLError_NotSupported()
        return card.cores

    def nvmlDeviceGetMaxClockInfo(self, card, kind):
        return {pynvml.NVML_CLOCK_SM: 2000}[kind]

    def nvmlDeviceGetMigMode(self, card):
        if not card.cores:
            raise pynvml.NVMLError_NotSupported()
        return [1, 1] if card.parts else [0, 0]

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card, index):
        return card.parts[index]


def card(gib, uuid="GPU-0", cores=1000, parts=()):
    return SimpleNamespace(gib=gib, uuid=uuid, cores=cores, parts=parts)


@pytest.fixture
def driver(monkeypatch):
    """`driver(...)` is this computer's from now on."""

    def install(*cards, **more):
        made = Driver(*cards, **more)
        monkeypatch.setitem(sys.modules, "pynvml", made)
        gpu._asked.cache_clear()
        return made

    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    yield install
    gpu._asked.cache_clear()


def test_the_stand_in_has_nothing_that_the_real_module_has_not():
    assert not [name for name in vars(Driver) if not name.startswith("_") and not hasattr(pynvml, name)]


SLOW, FAST = card(24, "GPU-aaaa1111-0", 2000), card(8, "GPU-aabb2222-0", 9000)
DIVIDED = card(80, "GPU-cc-0", 9000, (card(10, "MIG-1"), card(20, "MIG-2")))


@pytest.mark.parametrize(
    ("cards", "visible", "order", "gib"),
    [
        ((SLOW, FAST), None, None, 8),  # CUDA counts from the fastest
        ((SLOW, FAST), None, "PCI_BUS_ID", 24),
        ((SLOW, FAST), "1", None, 24),
        ((SLOW, FAST), "1", "PCI_BUS_ID", 8),
        ((SLOW, FAST), " 1 ,0", "PCI_BUS_ID", 8),
        ((SLOW, FAST), "GPU-aabb2222-0,0", None, 8),
        ((SLOW, FAST), "GPU-aaaa", None, 24),
        ((SLOW, FAST), "GPU-aa", None, 0),  # of which of the two?
        ((SLOW, FAST), "GPU-dd", None, 0),
        ((SLOW, FAST), "2", None, 0),
        ((SLOW, FAST), "-1,0", None, 0),
        ((SLOW, FAST), "", None, 0),
        ((SLOW, FAST), "NoDevFiles", None, 0),
        ((SLOW, FAST), "words", None, 0),
        ((DIVIDED, FAST), None, None, 10),  # CUDA sees one instance only
        ((DIVIDED, FAST), "MIG-2", None, 20),
        ((DIVIDED, FAST), "MIG-3", None, 0),
        ((card(6, cores=0), card(4, cores=0)), None, None, 6),  # an old driver that cannot tell how fast they are
        ((), None, None, 0),
    ],
)
def test_the_gpu_that_torch_calls_cuda_0_is_what_counts(driver, monkeypatch, cards, visible, order, gib):
    driver(*cards)
    for name, value in (("CUDA_VISIBLE_DEVICES", visible), ("CUDA_DEVICE_ORDER", order)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert gpu.memory() == gib


def test_the_card_tells_what_it_can_compute(driver):
    for one, told in ((SLOW, (7, 5)), (FAST, (8, 9)), (card(6, cores=0), None)):
        driver(one)
        assert gpu.capability() == told
    driver()
    assert gpu.capability() is None


def test_a_question_that_failed_is_asked_again_and_an_answer_is_kept(driver):
    made = driver(card(12), fails=[pynvml.NVMLError_DriverNotLoaded(), pynvml.NVMLError_GpuIsLost()])
    assert [gpu.memory() for _ in range(5)] == [0, 0, 12, 12, 12] and made.asked == 3


def test_a_driver_that_is_late_counts_as_soon_as_it_has_answered(driver, monkeypatch):
    monkeypatch.setattr(gpu, "_PATIENCE", 0.2)
    waited, result = [], gpu.Future.result
    monkeypatch.setattr(gpu.Future, "result", lambda one, most: waited.append(most) or result(one, most))
    made = driver(card(12))
    made.late.clear()
    assert [gpu.memory() for _ in range(5)] == [0] * 5
    assert sum(waited) < 0.3, "waited for once, not five times"
    made.late.set()
    assert until(lambda: gpu.memory() == 12, 60) and made.asked == 1


def test_a_computer_without_the_drivers_library_has_no_gpu_and_says_so_at_once(driver, monkeypatch):
    def absent(*_):
        raise OSError("no such library")

    monkeypatch.setattr(pynvml, "CDLL", absent)
    monkeypatch.setitem(sys.modules, "pynvml", pynvml)
    gpu._asked.cache_clear()
    began = time.monotonic()
    assert gpu.memory() == 0
    assert time.monotonic() - began < gpu._PATIENCE


@pytest.mark.parametrize("machine, ram, gib", [("arm64", 16, 10.7), ("arm64", 36, 27), ("x86_64", 32, 0)])
def test_a_mac_lends_its_gpu_a_share_of_its_memory(monkeypatch, tmp_path, machine, ram, gib):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=ram * GIB, available=ram * GIB))
    studio = Studio(tmp_path)
    assert gpu.memory() == pytest.approx(gib, abs=0.1) and not gpu.has_its_own()
    job = plans.job(studio, plans.base_of(studio, "sd15"), TrainSettings(), gpu.memory())
    assert job.unified == bool(gib)
    assert computer.lines(studio)[0].startswith("Apple's chip may use" if gib else "No NVIDIA graphics card")
