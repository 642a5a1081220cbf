"""Plant faults in picture sets that it makes itself and print how many of them the doctor finds, and what it makes up.

python tests/bench/doctor.py [--sets N] [--icons FOLDER] [--json]      precision and recall of each kind
python tests/bench/doctor.py --phone [--pictures N] [--json]           import and judge a folder of phone photographs

Icons come from npm, once, into the folder named; without npm that kind of set is left out and said so.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import psutil
from PIL import Image

from lora_gui.studio.doctor import doctor
from lora_gui.studio.doctor.look import jpeg_quality, look
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import pictures
from tests import planted

COUNT = 30
MUST = ("same", "blurred", "outlier", "border", "watermark", "bar")  # every one is to be found


def looked(picture: Image.Image, quality: int = 90):
    """As the doctor sees a picture that was saved as JPEG."""
    tables = {0: [round(57.6 * (5000 / quality if quality < 50 else 200 - 2 * quality) / 100)]}
    return look(planted.squeezed(picture, quality), jpeg_quality(tables))


def judged(shown) -> dict[str, set[int]]:
    """Kind to the numbers of the pictures, or to -1 where it is said of the set."""
    patients = [doctor.Patient(Path(), str(at), "") for at in range(len(shown))]
    found = doctor.judged(patients, shown, doctor.Asked())
    kinds: dict[str, set[int]] = {}
    for file, findings in found.pictures.items():
        for one in findings:
            kinds.setdefault(one.kind, set()).add(int(file))
    for one in found.set:
        if one.kind not in kinds and one.kind != "uncaptioned":
            kinds[one.kind] = {-1}
    return kinds


def planted_set(kind: str, seed: int, icons: Path):
    """30 pictures with faults in some, as the doctor sees them, and which were planted where."""
    chance = np.random.default_rng(1000 + seed)
    clean = planted.made(kind, COUNT, seed, icons)
    other = planted.made("drawings" if kind == "photographs" else "photographs", 1, 77 + seed)
    truth: dict[str, set[int]] = {}
    order = [int(one) for one in chance.permutation(COUNT)]
    faults = [planted.blurred] * 2 + [planted.bordered] * 2 + [planted.darkened, planted.washed]
    names = ["blurred"] * 2 + ["border"] * 2 + ["dark", "washed"]
    shown = list(clean)
    for fault, name in zip(faults, names, strict=True):
        at = order.pop()
        shown[at] = fault(clean[at], chance)
        truth.setdefault(name, set()).add(at)
    at = order.pop()
    shown[at], truth["outlier"] = other[0], {at}
    for copy in (planted.again, planted.mirrored, planted.cropped):
        of, at = order.pop(), order.pop()
        shown[at] = copy(clean[of], chance)
        truth.setdefault("same", set()).add(min(at, of) * COUNT + max(at, of))
    mark, name = (planted.marked, "watermark") if seed % 2 == 0 else (planted.screen, "bar")
    for at in order[:6]:
        shown[at] = mark(clean[at], chance)
        truth.setdefault(name, set()).add(at)
    squeezed = order[6]
    truth["squeezed"] = {squeezed}
    return [looked(one, 30 if at == squeezed else 90) for at, one in enumerate(shown)], truth


def as_found(kinds: dict[str, set[int]], truth: dict[str, set[int]]) -> dict[str, set[int]]:
    """Pictures that are the same as pairs: whichever of the two is named."""
    pairs = {at: pair for pair in truth.get("same", ()) for at in divmod(pair, COUNT)}
    same = {pairs.get(at, at) for at in kinds.get("same", ())}
    return {**kinds, "same": same} if same else kinds


def counted(sets: int, icons: Path) -> dict:
    """Hits, misses and false alarms of each kind, over sets with faults and clean ones."""
    hit, missed, false, alarms, left = Counter(), Counter(), Counter(), [], []
    for kind in ("photographs", "drawings", "icons"):
        for seed in range(sets):
            try:
                shown, truth = planted_set(kind, seed, icons)
                clean = [looked(one) for one in planted.made(kind, COUNT, 500 + seed, icons)]
            except (OSError, subprocess.SubprocessError):
                left.append(kind)
                break
            for looks, faults in ((shown, truth), (clean, {})):
                found = as_found(judged(looks), faults)
                made_up = 0
                for name in {*found, *faults}:
                    there, said = faults.get(name, set()), found.get(name, set())
                    hit[name] += len(there & said)
                    missed[name] += len(there - said)
                    false[name] += len(said - there)
                    made_up += len(said - there)
                    if there - said or said - there:
                        told = kind, seed, name, "missed", sorted(there - said), "made up", sorted(said - there)
                        print(*told, file=sys.stderr)
                alarms.append(made_up)
    kinds = {}
    for name in sorted({*hit, *missed, *false}):
        there, said = hit[name] + missed[name], hit[name] + false[name]
        kinds[name] = {
            "planted": there,
            "recall": hit[name] / there if there else None,
            "precision": hit[name] / said if said else None,
            "made_up": false[name],
        }
    return {"kinds": kinds, "sets": len(alarms), "most_made_up_in_a_set": max(alarms, default=0), "left_out": left}


def phone(count: int) -> dict:
    """A folder of 12-megapixel JPEGs, imported and judged: seconds, processor seconds and the most memory held."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, studio = Path(scratch) / "phone", Studio(Path(scratch) / "studio")
        folder.mkdir()
        chance = np.random.default_rng(1)
        for at in range(count):
            small = planted.photograph(chance, (1000, 750))
            large = np.asarray(small.resize((4000, 3000), Image.Resampling.BICUBIC)).astype(np.int16)
            noise = chance.integers(-6, 7, (750, 1000, 1), np.int16).repeat(4, 0).repeat(4, 1)
            Image.fromarray((large + noise).clip(0, 255).astype(np.uint8)).save(folder / f"IMG_{at:04}.jpg", quality=90)
        size = sum(path.stat().st_size for path in folder.iterdir())
        held = Watched()
        began = time.perf_counter()
        found, _ = pictures.import_pictures(studio, [folder])
        imported = time.perf_counter()
        judgement, _ = doctor.judge(studio, doctor.of_set(found), doctor.Asked())
        ended = time.perf_counter()
        doctor.judge(studio, doctor.of_set(found), doctor.Asked())
        again = time.perf_counter()
        most, used = held.end()
    return {
        "pictures": len(found.pictures), "megabytes": size / 1e6, "import_s": imported - began,
        "judge_s": ended - imported, "judge_again_s": again - ended, "together_s": ended - began,
        "processor_s": used, "most_memory_mb": most / 1e6, "findings": len(judgement.lines()),
    }  # fmt: skip


class Watched:
    """The memory and processor time of this process and its children, looked at meanwhile."""

    def __init__(self) -> None:
        self._me, self._most, self._ends = psutil.Process(), 0, threading.Event()
        self._used: dict[int, float] = {}
        self._before = self._times(self._me)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ends.wait(0.05):
            held = 0
            for one in (self._me, *self._me.children(recursive=True)):
                try:
                    held += one.memory_info().rss
                    self._used[one.pid] = self._times(one)
                except psutil.Error:
                    continue
            self._most = max(self._most, held)

    @staticmethod
    def _times(process: psutil.Process) -> float:
        times = process.cpu_times()
        return times.user + times.system

    def end(self) -> tuple[int, float]:
        """Bytes at most, and processor seconds."""
        self._ends.set()
        self._thread.join()
        return self._most, sum(self._used.values()) - self._before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=4, help="of each kind with faults, and as many clean ones")
    parser.add_argument("--icons", type=Path, default=Path(tempfile.gettempdir()) / "icons")
    parser.add_argument("--phone", action="store_true")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = phone(options.pictures) if options.phone else counted(options.sets, options.icons)
    if options.json:
        print(json.dumps(found))
        return
    for name, one in found.pop("kinds", {}).items():
        shares = [f"{one[key]:.2f}" if one[key] is not None else "   -" for key in ("recall", "precision")]
        told = f"planted {one['planted']:4}  recall {shares[0]}  precision {shares[1]}  made up {one['made_up']}"
        print(f"{name:12} {told}")
    for name, value in found.items():
        print(f"{name}: {value:.2f}" if isinstance(value, float) else f"{name}: {value}")


if __name__ == "__main__":
    main()
