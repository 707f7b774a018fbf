#!/usr/bin/env bash
# All checks that need a CUDA card, in less than ten minutes, on a machine with Python 3.11 or later and torch.
#
#   benchmarks/gpu.sh --write                       measure, and fill the table in docs/performance.md
#   benchmarks/gpu.sh --wheels DIR --script FILE    without network: install missing packages from DIR
#   benchmarks/gpu.sh --small --quick               try it on any machine, with small models
#
# FILE is diffusers' train_dreambooth_lora_sdxl.py, of the installed release; without it training is not measured.
# Installs nothing unless --wheels is given, and never torch. PYTHON names the interpreter. All options: --help.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
wheels=
arguments=()
while (($#)); do
    case $1 in
        --wheels) wheels=${2:?--wheels needs a folder}; shift 2 ;;
        *) arguments+=("$1"); shift ;;
    esac
done
export PYTHONPATH="contract:runner:benchmarks:tiny${PYTHONPATH:+:$PYTHONPATH}"
if [[ -n $wheels ]]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    mapfile -t files < <(find "$wheels" -name '*.whl' ! -name 'torch-*' ! -name 'nvidia_*' ! -name 'triton-*' | sort)
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "${files[@]}"
    export PYTHONPATH="$PYTHONPATH:$site"
fi
"$python" benchmarks/gpu_checks.py ${arguments[@]+"${arguments[@]}"}
