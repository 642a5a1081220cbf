#!/usr/bin/env bash
# Install what the lock file lists into .venv (once, and again when it changes), then open the window.
#   ./launch.sh                open the window          ./launch.sh --demo [--out DIR]   train and draw once, no window
#   ./launch.sh --test [...]   run all tests            other options go to app.py, see ./launch.sh --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3.12 python3.13 python3.11 python3.14 python3 python; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "LoRA Studio needs Python 3.11, 3.12, 3.13 or 3.14 with its venv module, and found none." >&2
    echo "Get Python 3.12 from https://www.python.org/downloads/ (Debian, Ubuntu: sudo apt install python3 python3-venv) and start again." >&2
    return 1
}

# install FILE: the packages FILE.txt names, in the versions and with the hashes of FILE.lock. uv itself is one of them.
# uv takes the build of torch that is made for this computer's card, unless wheels lie at hand that pip was told of.
install() (
    wheels="${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(.venv/bin/python -m pip config get global.find-links 2>/dev/null || true)}}"
    if [ -n "$wheels" ]; then
        export UV_FIND_LINKS="$wheels"
    else
        export UV_TORCH_BACKEND="${UV_TORCH_BACKEND:-auto}"
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check uv -c requirements.txt || exit 1
    .venv/bin/python -m uv pip install --quiet --python .venv/bin/python -r "$1.txt" -c "$1.lock"
)

# ensure FILE: once for each content of FILE.txt and FILE.lock
ensure() {
    local stamp
    stamp=".venv/installed-$(echo "$1" | tr / -)"
    cat "$1.txt" "$1.lock" | cmp -s - "$stamp" && return
    echo "Installing what $1.lock lists; the first time this takes some minutes ..." >&2
    if ! install "$1" >&2; then
        echo "Installing did not work. Check the internet connection and the free disk space (about 8 GB), then start again." >&2
        return 1
    fi
    cat "$1.txt" "$1.lock" >"$stamp"
}

if ! .venv/bin/python -c '' 2>/dev/null; then
    python=$(find_python)
    rm -rf .venv
    "$python" -m venv .venv
fi
ensure requirements

case "${1:-}" in
    --demo)
        shift
        exec .venv/bin/python -m lora_gui demo --json "$@"
        ;;
    --test)
        shift
        ensure tests/requirements
        exec .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"
        ;;
    *)
        exec .venv/bin/python app.py "$@"
        ;;
esac
