#!/usr/bin/env bash
# Install what the lock file lists into .venv (once, and again when it changes), then open the window.
#   ./launch.sh                open the window          ./launch.sh --demo [--out DIR]   train and draw once, no window
#   ./launch.sh --test [...]   run all tests            other options go to app.py, see ./launch.sh --help
# Keeps to bash 3.2, which is what macOS has.
if [ -z "${BASH_VERSION:-}" ]; then # started as `sh launch.sh`, which may be another shell
    command -v bash >/dev/null || { echo "LoRA Studio is started by bash, which was not found. Install bash and start again." >&2; exit 1; }
    exec bash "$0" "$@"
fi
set +o posix # bash 3.2 as sh does not read all that stands below
set -euo pipefail
unset CDPATH

# folder_of FILE: where it lies, also where FILE is a link to a link
folder_of() {
    local file="$1" to
    while [ -L "$file" ]; do
        to="$(readlink "$file")"
        case "$to" in /*) file="$to" ;; *) file="$(dirname "$file")/$to" ;; esac
    done
    cd -P "$(dirname "$file")" && pwd
}

case "${LORA_GUI_HOME:-/}" in
    [/~\$\"]*) ;;
    *) export LORA_GUI_HOME="$PWD/$LORA_GUI_HOME" ;; # as it is meant where it was typed
esac
export LORA_GUI_FROM="$PWD" # where folders that are typed are meant
cd "$(folder_of "${BASH_SOURCE[0]}")"
if [ ! -f requirements.txt ]; then
    echo "launch.sh has to lie in the folder of LoRA Studio. To start it from elsewhere, make a link to it." >&2
    exit 1
fi

# What is set for other Pythons would lead ours astray, in the app and in all that it starts.
for name in ${!PYTHON*} __PYVENV_LAUNCHER__; do
    case "$name" in PYTHON | PYTHON_KEYRING_BACKEND) ;; *) unset "$name" ;; esac
done
export PYTHONNOUSERSITE=1

# Whether torch runs on this Mac, if it is one.
fits_mac() {
    local version
    case "$OSTYPE" in darwin*) ;; *) return 0 ;; esac
    if [ "$(sysctl -n hw.optional.arm64 2>/dev/null)" != 1 ]; then
        echo "LoRA Studio needs a Mac with Apple's own chip (M1 or newer): torch is no longer made for Intel's. Use another computer." >&2
        return 1
    fi
    version="$(sw_vers -productVersion)"
    if [ "${version%%.*}" -lt 14 ]; then
        echo "LoRA Studio needs macOS 14 or newer, and this is macOS $version. Update it in the System Settings and start again." >&2
        return 1
    fi
}

# whether it is a Python that will do
fits='import platform, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) or sys.platform == "darwin" and platform.machine() != "arm64")'

find_python() {
    local name chip=""
    fits_mac || return 1
    case "$OSTYPE" in darwin*) chip=" for Apple's own chip" ;; esac
    for name in ${PYTHON:+"$PYTHON"} python3.12 python3.13 python3.11 python3.14 python3 python; do
        case "$chip$(command -v "$name")" in *chip/usr/bin/python3) continue ;; esac # Apple's, which is too old, or asks to be installed
        if command -v "$name" >/dev/null && "$name" -c "import venv, ensurepip; $fits" 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "LoRA Studio needs Python 3.11, 3.12, 3.13 or 3.14$chip with its venv module, and found none." >&2
    echo "Get Python 3.12 from https://www.python.org/downloads/ (Debian, Ubuntu: sudo apt install python3 python3-venv) and start again." >&2
    return 1
}

# says_from_where NAME: whether a setting of pip or uv says from where and how to download. All others, which may put
# the packages elsewhere or refuse them, are left out.
says_from_where() {
    case "${1#*_}" in
        INDEX | INDEX_* | DEFAULT_INDEX | EXTRA_INDEX_URL | FIND_LINKS | NO_INDEX | TRUSTED_HOST | INSECURE_HOST) ;;
        CERT | CLIENT_CERT | NATIVE_TLS | SYSTEM_CERTS | KEYRING_PROVIDER | CREDENTIALS_DIR | PROXY) ;;
        TIMEOUT | DEFAULT_TIMEOUT | HTTP_TIMEOUT | RETRIES | HTTP_RETRIES | CONCURRENT_* | OFFLINE) ;;
        CACHE_DIR | NO_CACHE | NO_CACHE_DIR | LINK_MODE | CONFIG_FILE | NO_CONFIG | TORCH_BACKEND) ;;
        *) return 1 ;;
    esac
}

# The same of pip.conf, as variables; one that is set already counts more, and [install] more than [global].
heed_pip_conf() {
    local line name value
    while IFS= read -r line; do
        case "$line" in global.*=* | install.*=*) ;; *) continue ;; esac
        name="${line%%=*}"
        name="PIP_$(echo "${name#*.}" | tr 'a-z-' 'A-Z_')"
        if says_from_where "$name" && [ -z "${!name:-}" ]; then
            value="${line#*=?}"
            value="${value%?}"
            export "$name=${value//\\n/ }"
        fi
    done < <(.venv/bin/python -m pip config list 2>/dev/null | sort -r)
    export PIP_CONFIG_FILE=/dev/null
}

# What pip was told, told to uv, and the other way round.
share_settings() {
    local pair to from value
    for pair in UV_INDEX_URL=PIP_INDEX_URL UV_EXTRA_INDEX_URL=PIP_EXTRA_INDEX_URL UV_FIND_LINKS=PIP_FIND_LINKS \
        UV_INSECURE_HOST=PIP_TRUSTED_HOST SSL_CERT_FILE=PIP_CERT UV_HTTP_TIMEOUT=PIP_TIMEOUT HTTPS_PROXY=PIP_PROXY \
        PIP_INDEX_URL=UV_DEFAULT_INDEX PIP_INDEX_URL=UV_INDEX_URL PIP_FIND_LINKS=UV_FIND_LINKS; do
        to="${pair%=*}"
        from="${pair#*=}"
        value="${!from:-}"
        case "$from=$value" in UV_DEFAULT_INDEX=*=*://*) value="${value#*=}" ;; esac # its name stands before it
        if [ -n "$value" ] && [ -z "${!to:-}" ]; then export "$to=$value"; fi
    done
    if [ -n "${PIP_EXTRA_INDEX_URL:-}" ]; then
        export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}" # as pip chooses; the hashes hold all the same
    fi
}

# install FILE: the packages FILE.txt names, in the versions and with the hashes of FILE.lock. uv itself is one of them.
# uv takes the build of torch that is made for this computer's card, unless wheels lie at hand that pip was told of.
install() (
    for name in ${!PIP_*} ${!UV_*}; do
        says_from_where "$name" || unset "$name"
    done
    heed_pip_conf
    share_settings
    case "$OSTYPE${UV_FIND_LINKS:+ at hand}" in
        darwin* | *" at hand") ;; # for a Mac there is one build, which lies where everything else does
        *) export UV_TORCH_BACKEND="${UV_TORCH_BACKEND:-auto}" ;;
    esac
    forget_cut_short
    .venv/bin/python -c 'import importlib.metadata; importlib.metadata.version("pip")' 2>/dev/null || .venv/bin/python -m ensurepip || exit 1
    .venv/bin/python -m pip install --quiet --disable-pip-version-check uv -c requirements.txt || exit 1
    case "${PIP_NO_INDEX:-0}" in 0 | false | no | off) no_index="" ;; *) no_index=yes ;; esac
    put_in "$1" && exit
    forget_cut_short
    UV_NO_CONFIG=1 put_in "$1" # a uv.toml may put the packages elsewhere
)

# A package that lacks files, since unpacking it was cut short, counts as installed for pip and uv: let them forget it.
forget_cut_short() {
    .venv/bin/python -c '
import csv, pathlib, shutil
for about in pathlib.Path(".venv").glob("lib/*/site-packages/*.dist-info"):
    listed = about / "RECORD"
    rows = csv.reader(listed.read_text(encoding="utf-8").splitlines()) if listed.is_file() else [[""]]
    if not all((about.parent / row[0]).is_file() for row in rows if row and not row[0].endswith(".pyc")):
        shutil.rmtree(about)'
}

put_in() {
    local lock="$1.lock"
    [ -f "$lock" ] || lock=""
    .venv/bin/python -m uv pip install --quiet --python .venv/bin/python -r "$1.txt" ${lock:+-c "$lock"} \
        ${no_index:+--no-index} && has "$1"
}

# has FILE: whether all that FILE.txt names is there
has() {
    .venv/bin/python -c 'import importlib.metadata, re, sys; text = open(sys.argv[1], encoding="utf-8").read(); [importlib.metadata.version(name) for name in re.findall(r"(?m)^(\w[\w.-]*)[^;\n]*$", text)]' "$1.txt" 2>/dev/null
}

# The same past a proxy of a kind that pip does not know, or that does not answer.
install_without_proxy() (
    named=""
    for name in http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY PIP_PROXY; do
        [ -z "${!name:-}" ] || named="$named $name"
        unset "$name"
    done
    [ -n "$named" ] || exit 1
    echo "That did not work by the proxy in$named; it is tried once more without." >&2
    install "$1"
)

# listed FILE: what is to be installed
listed() {
    cat "$1.txt"
    if [ -f "$1.lock" ]; then cat "$1.lock"; fi
}

# ensure FILE: once for each content of FILE.txt and FILE.lock
ensure() {
    local stamp
    stamp=".venv/installed-$(echo "$1" | tr / -)"
    listed "$1" | cmp -s - "$stamp" && return
    if [ -f "$1.lock" ]; then
        echo "Installing what $1.lock lists; the first time this takes some minutes ..." >&2
    else
        echo "Installing what $1.txt lists; $1.lock is not there, so what that needs comes in its newest version ..." >&2
    fi
    if ! { install "$1" || install_without_proxy "$1"; } >&2 || ! listed "$1" >"$stamp"; then
        echo "Installing did not work. Check the internet connection, the free disk space (about 8 GB) and that $PWD/.venv can be written to, then start again." >&2
        return 1
    fi
}

if ! .venv/bin/python -c "$fits" 2>/dev/null; then
    python=$(find_python)
    if ! { rm -rf .venv 2>/dev/null && "$python" -m venv .venv; } >&2; then
        echo "The folder $PWD/.venv could not be made. Check that $PWD can be written to, has no colon in its path and is on a drive that knows links (FAT and exFAT do not), and that the disk has room (about 8 GB), then start again." >&2
        exit 1
    fi
fi
ensure requirements

case "${1:-}" in
    --demo)
        shift
        exec .venv/bin/python -m lora_gui demo --json "$@"
        ;;
    --do) # any command, as packed runs are started
        shift
        exec .venv/bin/python -m lora_gui "$@"
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
