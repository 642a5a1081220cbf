#!/usr/bin/env bash
# Python for Windows under Wine 10 or later, in the folder of the project:
#   tests/windows/wine.sh FOLDER app.py --no-browser            the window; open the address in a browser of this system
#   tests/windows/wine.sh FOLDER -m pytest -n 0 tests/studio    tests
# FOLDER holds the "Windows embeddable package (64-bit)" of python.org, unpacked; what requirements.txt lists is put into
# it the first time, 1.2 GB. Needs ./launch.sh --test to have been run, and of Debian 13 wine64 and gcc-mingw-w64-x86-64.
# Wine has no links, and tests that follow some fail there.
set -euo pipefail
folder="$(cd "$1" && pwd)"
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export WINEPREFIX="$folder/wine" WINEDEBUG=-all WINEDLLOVERRIDES="mscoree=;mshtml=" LANG=C.UTF-8
unset DISPLAY "${!PYTHON@}"

if [ ! -d "$folder/Lib/site-packages" ]; then
    rm -f "$folder"/python*._pth # with it, neither the folder of the project nor site-packages would be looked into
    minor="$(basename "$folder"/python3??.dll .dll)"
    .venv/bin/python -m uv pip install --quiet --target "$folder/partial" --python-platform x86_64-pc-windows-msvc \
        --python-version "3.${minor#python3}" -r requirements.txt -c requirements.lock \
        -r tests/requirements.txt -c tests/requirements.lock
    wineboot --init 2>/dev/null
    wineserver --wait
    .venv/bin/python tests/windows/ucrt.py "$WINEPREFIX/drive_c/windows/system32/ucrtbase.dll" "$folder"
    mkdir -p "$folder/Lib"
    mv "$folder/partial" "$folder/Lib/site-packages"
fi
export WINEDLLOVERRIDES="ucrtbase=n;$WINEDLLOVERRIDES"
wine "$folder/python.exe" -u "$@" 2>&1 | cat # Python does not start where its output is a file of Wine
exit "${PIPESTATUS[0]}"
