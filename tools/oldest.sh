#!/usr/bin/env bash
# Run tests with the oldest of each package that pyproject.toml names, on another processor.
#
#   tools/oldest.sh FOLDER [ARGUMENTS OF PYTEST...]
#
# Of the oldest torch, PyPI has a build without CUDA for aarch64 alone (for Linux), so Debian's Python for
# that processor runs it in qemu's emulator of processes. FOLDER is made once, some 1.5 GB, and used again.
# Needs debootstrap (which asks for root) and qemu-user-static, both of Debian.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
root="$folder/debian" site="$folder/site"

if ! [ -e "$folder/made" ]; then
    rm -rf "$root" "$site"
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3,libgomp1,libsqlite3-0,libstdc++6 \
        bookworm "$root" >"$folder/debootstrap.log"
    for package in "$root"/var/cache/apt/archives/*.deb; do
        dpkg -x "$package" "$root"
    done
    platforms=()
    for glibc in 17 24 26 27 28 31; do
        platforms+=(--platform "manylinux_2_${glibc}_aarch64")
    done
    # Each dependency as old as may be; beside them what they import, since pip would choose that for this processor.
    python3 - "$here/pyproject.toml" >"$folder/oldest.txt" <<'PYTHON'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print(*(line.replace(">=", "==") for line in tomllib.load(file)["project"]["dependencies"]), sep="\n")
PYTHON
    grep -vE '^(#|torch)' "$here/constraints.txt" | grep -E '^(pytest|hypothesis|expecttest)==' >"$folder/tests.txt"
    python3 -m pip install -q --target "$site" --no-deps --only-binary=:all: --implementation cp \
        --python-version 3.11 "${platforms[@]}" -r "$folder/oldest.txt" -r "$folder/tests.txt" \
        filelock typing_extensions mpmath networkx jinja2 markupsafe fsspec joblib threadpoolctl \
        'click<8.2' markdown-it-py mdurl pygments shellingham narwhals packaging setuptools \
        pluggy iniconfig attrs sortedcontainers
    touch "$folder/made"
fi

cd "$here"
exec qemu-aarch64-static -L "$root" \
    -E PYTHONPATH="$here/src:$site" -E OMP_NUM_THREADS=1 -E PYTHONDONTWRITEBYTECODE= \
    "$root/usr/bin/python3.11" -m pytest -p no:cacheprovider "$@"
