#!/usr/bin/env bash
# All checks that need a CUDA card, in less than ten minutes, on a machine with Python 3.11 or later and torch.
#
#   benchmarks/gpu.sh --write                       measure, and fill the table in docs/performance.md
#   benchmarks/gpu.sh --wheels DIR --script FILE    without network: install missing packages from DIR
#   benchmarks/gpu.sh --small --quick               try it on any machine, with small models
#
# FILE is diffusers' train_dreambooth_lora_sdxl.py, of the installed release; without it training is not measured.
# Installs nothing unless --wheels is given, and never torch; docs/performance.md says how to fill DIR. PYTHON names the
# interpreter. All options: --help.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
wheels=
arguments=()
while (($#)); do
    case $1 in
        --wheels) wheels=${2:?--wheels needs a folder}; shift 2 ;;
        *) arguments+=("$1"); shift ;;
    esac
done
export PYTHONPATH="$root/contract:$root/runner:$root/benchmarks:$root/tiny${PYTHONPATH:+:$PYTHONPATH}"
if [[ -n $wheels ]]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    others=(! -name 'torch-*' ! -name 'nvidia_*' ! -name 'triton-*')
    # A torchvision for another torch breaks every import of transformers; that of the machine fits.
    "$python" -c 'import torchvision' 2>/dev/null && others+=(! -name 'torchvision-*')
    mapfile -t files < <(find -L "$wheels" -name '*.whl' "${others[@]}" | sort)
    ((${#files[@]})) || { echo "--wheels: no *.whl in $wheels; docs/performance.md says how to fill it" >&2; exit 1; }
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "${files[@]}"
    export PYTHONPATH="$PYTHONPATH:$site"
    if [[ -d $site/torchvision ]] && ! "$python" -c 'import torchvision' 2>/dev/null; then
        echo "--wheels: left out torchvision, which does not fit this machine's torch: diffusers' script needs one" >&2
        rm -r "$site"/torchvision*
    fi
fi
"$python" "$root/benchmarks/gpu_checks.py" ${arguments[@]+"${arguments[@]}"}
