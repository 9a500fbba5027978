"""A small random LLaVA-1.5, laid out file by file as the converted checkpoints of the hub are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlavaConfig, LlavaForConditionalGeneration

SIDE, PATCH = 56, 14
IMAGE_TOKENS = (SIDE // PATCH) ** 2
TEXT = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives"
    " helpful, detailed, and polite answers to the human's questions. USER: What is this? Is it a"
    " cup? ASSISTANT: As an AI assistant, I cannot help with that. It is a cup! Be brief."
)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\\n' }}{% endfor %}"
    "{# Render all text next #}"
    "{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}{% endfor %}"
    "{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""Of the converted checkpoints, to the letter: one line there."""

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
IMAGE_PROCESSOR: dict[str, Any] = {
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_pad": False,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": list(MEAN),
    "image_processor_type": "CLIPImageProcessor",
    "image_std": list(STD),
    "processor_class": "LlavaProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": SIDE},
}
PROCESSOR = {
    "image_token": "<image>",
    "num_additional_image_tokens": 1,
    "patch_size": PATCH,
    "processor_class": "LlavaProcessor",
    "vision_feature_select_strategy": "default",
}


def write(folder: Path, *, template: str = CHAT_TEMPLATE, **image_processor: Any) -> Path:
    """Writes the checkpoint into a new folder.

    Args:
        folder: Is made.
        template: The chat template.
        image_processor: Settings of it that differ.
    """
    folder.mkdir()
    words = tokenizer()
    image = len(words["model"]["vocab"])

    def put(name: str, content: Any) -> None:
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), "utf-8")

    put("tokenizer.json", words)
    put("tokenizer_config.json", tokenizer_config(words))
    put("added_tokens.json", {"<image>": image, "<pad>": image + 1})
    put("preprocessor_config.json", {**IMAGE_PROCESSOR, **image_processor})
    put("processor_config.json", PROCESSOR)
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    settings = config(image)
    put("config.json", settings)
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": image + 1}
    put("generation_config.json", {"_from_model_config": True, **ends})
    save_file(weights(settings), folder / "model.safetensors", {"format": "pt"})
    return folder


def tokenizer() -> dict[str, Any]:
    """``tokenizer.json``: SentencePiece's pieces and bytes, a dummy space before every segment."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=160, show_progress=False)
    raw.train_from_iterator([TEXT] * 4, trainer)
    trained = json.loads(raw.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += sorted(trained["vocab"], key=trained["vocab"].__getitem__)
    vocab = {piece: number for number, piece in enumerate(pieces)}
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    sequences = [{"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB")]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, **added} for number, added in enumerate_added(len(vocab)).items()
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, sequences[0]],
            "pair": [begin, sequences[0], begin, sequences[1]],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": vocab,
            "merges": trained["merges"],
        },
    }


def enumerate_added(size: int) -> dict[int, dict[str, Any]]:
    """The special tokens by id."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    named = {0: "<unk>", 1: "<s>", 2: "</s>", size: "<image>", size + 1: "<pad>"}
    return {number: {"content": name, **flags, "special": True} for number, name in named.items()}


def tokenizer_config(words: dict[str, Any]) -> dict[str, Any]:
    added = enumerate_added(len(words["model"]["vocab"]))
    return {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": {str(number): token for number, token in added.items()},
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "extra_special_tokens": {"image_token": "<image>"},
        "image_token": "<image>",
        "legacy": False,
        "model_max_length": 1000000000000000019884624838656,
        "pad_token": "<pad>",
        "padding_side": "left",
        "processor_class": "LlavaProcessor",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
        "use_default_system_prompt": False,
    }


def config(image: int) -> dict[str, Any]:
    # vLLM's attention on a CPU asks for heads of 32 at least.
    small = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4}
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "ignore_index": -100,
        "image_seq_length": IMAGE_TOKENS,
        "image_token_index": image,
        "model_type": "llava",
        "pad_token_id": image + 1,
        "projector_hidden_act": "gelu",
        "text_config": {
            **small,
            "architectures": ["LlamaForCausalLM"],
            "max_position_embeddings": 1024,
            "model_type": "llama",
            "num_hidden_layers": 2,
            "rms_norm_eps": 1e-05,
            "torch_dtype": "float16",
            "vocab_size": image + 64,
        },
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vision_config": {
            **small,
            "image_size": SIDE,
            "model_type": "clip_vision_model",
            "num_hidden_layers": 3,
            "patch_size": PATCH,
            "projection_dim": 32,
            "vocab_size": 32000,
        },
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }


def weights(settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Random ones, half precision, under the hub's keys."""
    torch.manual_seed(0)
    model: Any = LlavaForConditionalGeneration(LlavaConfig(**settings))
    renamed = (
        (r"^lm_head\.", "language_model.lm_head."),
        (r"^model\.language_model\.", "language_model.model."),
        (r"^model\.vision_tower\.(vision_model\.)?", "vision_tower.vision_model."),
        (r"^model\.multi_modal_projector\.", "multi_modal_projector."),
    )
    found = {}
    for key, tensor in model.state_dict().items():
        for pattern, name in renamed:
            key = re.sub(pattern, name, key)
        # A random model is nearly deaf to its input; larger weights make every token matter.
        found[key] = (tensor * 4 if tensor.ndim > 1 else tensor).half().contiguous()
    return found
