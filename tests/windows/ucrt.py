"""`ucrt.py WINES_UCRTBASE_DLL FOLDER`: the C library of Wine with the complex functions that numpy asks for.

Wine 10 has none of them. The new ucrtbase.dll in FOLDER has these, and hands on all others to Wine's, a copy of which
lies beside it.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

TOOLS = "x86_64-w64-mingw32-"
OF_COMPLEX = "acos acosh asin asinh atan atanh cos cosh exp log proj conj sin sinh sqrt tan tanh".split()
OF_REAL = "abs arg imag real".split()
BEGINNING = """#include <complex.h>
typedef struct { float x, y; } F;  /* as Windows passes them */
typedef struct { double x, y; } D;
static float _Complex f(F a) { float _Complex z; __real__ z = a.x; __imag__ z = a.y; return z; }
static double _Complex d(D a) { double _Complex z; __real__ z = a.x; __imag__ z = a.y; return z; }
static F to_f(float _Complex z) { F a = {crealf(z), cimagf(z)}; return a; }
static D to_d(double _Complex z) { D a = {creal(z), cimag(z)}; return a; }
"""


def functions() -> dict[str, str]:
    """C text of each function by its name; a long double is a double on Windows."""
    found = {}
    for name in OF_COMPLEX:
        found[f"c{name}f"] = f"F my_c{name}f(F a) {{ return to_f(c{name}f(f(a))); }}"
        for long in ("", "l"):
            found[f"c{name}{long}"] = f"D my_c{name}{long}(D a) {{ return to_d(c{name}(d(a))); }}"
    for name in OF_REAL:
        found[f"c{name}f"] = f"float my_c{name}f(F a) {{ return c{name}f(f(a)); }}"
        for long in ("", "l"):
            found[f"c{name}{long}"] = f"double my_c{name}{long}(D a) {{ return c{name}(d(a)); }}"
    found["cpowf"] = "F my_cpowf(F a, F b) { return to_f(cpowf(f(a), f(b))); }"
    for long in ("", "l"):
        found[f"cpow{long}"] = f"D my_cpow{long}(D a, D b) {{ return to_d(cpow(d(a), d(b))); }}"
    return found


def exports(library: Path) -> list[str]:
    said = subprocess.run([f"{TOOLS}objdump", "-p", library], capture_output=True, text=True, check=True).stdout
    row = r"(?m)^\s+\[\s*\d+\]\s+(?:\+base\[\s*\d+\]\s+[0-9a-f]+\s+)?(\S+)\s*$"
    return re.findall(row, said.split("Name Pointer")[-1])


def main(wines: Path, folder: Path) -> None:
    names, own = exports(wines), functions()
    text, table = folder / "ucrtbase.c", folder / "ucrtbase.def"
    text.write_text(BEGINNING + "\n".join(own[name] for name in names if name in own), encoding="ascii")
    rows = [f' "{name}" = ' + (f"my_{name}" if name in own else f'"ucrt_of_wine.{name}"') for name in names]
    table.write_text("LIBRARY ucrtbase.dll\nEXPORTS\n" + "\n".join(rows) + "\n", encoding="ascii")
    shutil.copy(wines, folder / "ucrt_of_wine.dll")
    built = [f"{TOOLS}gcc", "-O2", "-shared", "-static-libgcc", "-o", folder / "ucrtbase.dll", text, table]
    subprocess.run(built, check=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
