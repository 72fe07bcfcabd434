#!/bin/sh
# Make .venv, or bring it up to requirements.lock: packages with the locked hashes only, then Naru itself, editable.
# PYTHON names the interpreter; without it the first of the usual names that runs and is new enough is taken.
set -eu
cd "$(dirname "$0")/.."

new_enough() {
    # A name on PATH is not yet a program that runs, so each is tried.
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if ! { [ -x .venv/bin/python ] && new_enough .venv/bin/python; }; then
    chosen=
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if new_enough "$name"; then
            chosen=$name
            break
        fi
    done
    if [ -z "$chosen" ]; then
        echo "Naru needs Python 3.11 or newer; tried: ${PYTHON:-python3 and python3.11 to python3.14}." >&2
        echo "Install one, or name it: make PYTHON=/path/to/python" >&2
        exit 1
    fi
    echo "Making .venv with $("$chosen" --version)"
    rm -rf .venv
    if ! "$chosen" -m venv .venv; then
        rm -rf .venv
        echo "$chosen cannot make environments; on Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
fi

echo "Installing the packages of requirements.lock"
pip=".venv/bin/python -m pip --disable-pip-version-check"
$pip install --quiet --require-hashes -r requirements.lock
# The build backend is in the lock, so that nothing unlocked is fetched to build.
$pip install --quiet --no-deps --no-build-isolation -e .
