"""This app beside other trainers on the same work, whole commands in turn: `speed.py --sd-scripts DIR --diffusers DIR`.

Each peer needs a checkout and, by `--...-python`, the Python of an environment with what it requires. Works:
  linear     Stable Diffusion 1.5 at full size, random weights, 256 px, batch 1, linear layers: app, sd-scripts
  attention  the same, attention layers: app, diffusers
  starter    the bundled base, 128 px, batch 16, attention layers: app, diffusers
Prints a table (median of the rounds, and the range) and one JSON object. Seconds a step are those after warm-up, by
each program's own progress; the share is of the machine's best product of large matrices, measured in every round.
Columns: `others` is the share of the processors that other programs took meanwhile; above some percent nothing else
here means much. `--count [BASE ...]` counts instead, without any peer: see counts.py.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.studio.things.bases import SHIPPED
from tests.bench import counts, full_size, machine
from tests.bench.programs import APP, NOTES, PROGRAMS, Peer, Work
from tests.bench.watched import Watched, watch

GIB = 2**30
WARM_UP = 2  # steps
BESIDE = {"linear": ("app", "sd-scripts"), "attention": ("app", "diffusers"), "starter": ("app", "diffusers")}
HEAD = (
    "work", "program", "s/step", "range", "pictures/s", "of peak", "to 1st step s", "to file s", "range", "GiB",
    "others",
)  # fmt: skip


@dataclass
class Found:
    """The rounds of one program at one work."""

    per_step: list[float] = field(default_factory=list)  # the median of each round, seconds
    first: list[float] = field(default_factory=list)  # seconds from the command to the first step's end
    file: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    others: list[float] = field(default_factory=list)  # share of the processors that other programs took

    def add(self, run: Watched) -> None:
        self.per_step.append(statistics.median(run.per_step(WARM_UP)))
        self.first.append(next(moment for moment, step in run.steps if step > 0))
        self.file.append(run.file)
        self.end.append(run.end)
        self.peak.append(run.peak)
        self.others.append(run.others)


def works(options: argparse.Namespace) -> list[Work]:
    """What is to be done, in order."""
    found = []
    for name in options.work:
        starter = name == "starter"
        base = SHIPPED if starter else Path(full_size.make_base(options.folder).path)
        layers = "linear" if name == "linear" else "attention"
        resolution, batch = (128, 16) if starter else (256, 1)
        steps = options.starter_steps if starter else options.steps
        for precision in options.precision:
            found.append(Work(f"{name} {precision}", base, layers, precision, resolution, batch, steps))
    return found


def measure(work: Work, programs: dict[str, Peer], rounds: int, folder: Path) -> tuple[dict[str, Found], list[float]]:
    """Every program in turn, so many times; and the machine's peak, FLOP a second, in each round."""
    found, peaks = {name: Found() for name in programs}, []
    for number in range(rounds):
        peaks.append(machine.matmul_peak(work.precision))
        for name, peer in programs.items():
            own = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
            found[name].add(watch(PROGRAMS[name](work, own, peer)))
            shutil.rmtree(own)
            print(f"{work.name}, round {number + 1}, {name}: {found[name].per_step[-1]:.3f} s a step", file=sys.stderr)
    return found, peaks


def told(work: Work, found: dict[str, Found], peaks: list[float]) -> list[dict[str, object]]:
    """A row for each program, as it goes into the JSON."""
    flop, peak = machine.flop(work), max(peaks)
    rows = []
    for name, one in found.items():
        middle = statistics.median(one.per_step)
        rows.append({
            "work": work.name, "program": name, "seconds_per_step": one.per_step, "median": middle,
            "pictures_per_second": work.batch / middle, "share_of_peak": flop / middle / peak,
            "seconds_to_first_step": one.first, "seconds_to_file": one.file, "seconds_to_end": one.end,
            "peak_bytes": one.peak, "others": one.others,
            "flop_per_step": flop, "matmul_peak": peaks, "steps": work.steps,
            "note": NOTES[name], "app_is_faster_by": middle / statistics.median(found["app"].per_step),
        })  # fmt: skip
    return rows


def table(rows: list[dict[str, object]]) -> str:
    lines = [HEAD, ("---",) * len(HEAD)]
    for row in rows:
        steps, file = row["seconds_per_step"], row["seconds_to_file"]
        first = statistics.median(row["seconds_to_first_step"])
        lines.append((
            row["work"], row["program"], f"{row['median']:.3f}", _range(steps, 3), f"{row['pictures_per_second']:.2f}",
            f"{row['share_of_peak']:.0%}", f"{first:.1f}", f"{statistics.median(file):.1f}", _range(file, 1),
            f"{max(row['peak_bytes']) / GIB:.2f}", f"{max(row['others']):.0%}",
        ))  # fmt: skip
    ratios = [f"{row['work']}: a step of the app is {row['app_is_faster_by']:.2f} x as fast as one of {row['program']}"
              f" ({row['note']})" for row in rows if row["program"] != "app"]  # fmt: skip
    return "\n".join([*(f"| {' | '.join(map(str, line))} |" for line in lines), *ratios])


def _range(values: list[float], digits: int) -> str:
    return f"{min(values):.{digits}f}-{max(values):.{digits}f}"


def main() -> None:
    options = _options()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.count is not None:
        print(json.dumps({"counts": counts.told(options.count or counts.known())}))
        return
    peers = {"app": APP} | _peers(options)
    rows: list[dict[str, object]] = []
    for work in works(options):
        programs = {name: peers[name] for name in BESIDE[work.name.split()[0]] if name in peers}
        rows += told(work, *measure(work, programs, options.rounds, options.folder))
        print(table(rows), file=sys.stderr)
    print(json.dumps({"rows": rows}))


def _peers(options: argparse.Namespace) -> dict[str, Peer]:
    """Those whose checkout was given. A Python is not resolved: the link is what makes it that of an environment."""
    given = {"sd-scripts": (options.sd_scripts, options.sd_scripts_python),
             "diffusers": (options.diffusers, options.diffusers_python)}  # fmt: skip
    return {name: Peer(folder.resolve(), python.absolute()) for name, (folder, python) in given.items() if folder}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for peer in ("sd-scripts", "diffusers"):
        parser.add_argument(f"--{peer}", type=Path, metavar="DIR", help="a checkout")
        parser.add_argument(f"--{peer}-python", type=Path, default=Path(sys.executable), metavar="PYTHON")
    parser.add_argument("--work", nargs="+", choices=BESIDE, default=list(BESIDE))
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--count", nargs="*", metavar="BASE", help="count on these known bases (default: one a family)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--starter-steps", type=int, default=40)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "lora-speed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
