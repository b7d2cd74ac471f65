#!/usr/bin/env python3
"""What other programs make of a GGUF file that quantdial wrote.

The gguf package reads it: keys against config.json, tensors that were not quantized against those of the model bit for
bit, and, given the same recipe written as compressed-tensors, every quantized one against codes · scales.
transformers computes in float with the weights that the package finds; llama.cpp (llama-cpp-python) computes with the
file: token ids, logits, the loss and greedy text of both are compared. llama.cpp rounds the inputs of linears, to BF16,
to F16, or to 8 bits in blocks of 32, as the weight is; so does transformers here, and the bound holds for that.

    pip install gguf numpy safetensors tokenizers torch transformers; pip install llama-cpp-python
    tools/reference/check_gguf.py MODEL FILE.gguf [--compressed FOLDER] [--text FILE] [--greedy N] [--bound 0.1]
"""
import argparse
import functools
import json
import pathlib
import re
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

TEXTS = [
    "Once upon a time there was a cat.", "  two spaces,\ttabs\n\n\nand 12345 lines 3.14", "I've DON'T you'll we're",
    "def f(x):\n    return x ** 2  # square\n", "Grüße aus Köln, naïve café — „Zitat“…", "Привет, мир! 你好，世界。 こんにちは 안녕",
    "مرحبا بالعالم", "🚀🦙 emoji 👨‍👩‍👧", "a\r\nb\rc", "", " ", "<|im_start|>user\nHi<|im_end|>\n", "<s>[INST] x [/INST]</s>",
]
failures = 0


def say(ok, text):
    global failures
    failures += not ok
    print("ok  " if ok else "BAD ", text)


def value(reader, key):
    field = reader.fields.get(key)
    return None if field is None else field.contents()


def model_tensors(folder):
    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("model*.safetensors")):
        with safe_open(path, "pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}
    return tensors


def unpaired(rows, head_dim):
    """[heads, half, 2] → [heads, 2, half]."""
    return rows.reshape(-1, head_dim // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def numbers(tensor):
    if tensor.tensor_type.name in ("F32", "F16"):
        return np.array(tensor.data)
    return gguf.dequantize(tensor.data, tensor.tensor_type)


EXPERT_PARTS = {"gate": ("gate_proj", "w1"), "up": ("up_proj", "w3"), "down": ("down_proj", "w2")}


def experts_of(tensor, names):
    """A projection of all experts of a layer: name of each one → its place in the tensor."""
    found = re.fullmatch(r"blk\.(\d+)\.ffn_(gate|up|down)_exps\.weight", tensor.name)
    if not found:
        return {}
    wanted = rf".*layers\.{found[1]}\..*experts\.(\d+)\.({'|'.join(EXPERT_PARTS[found[2]])})\.weight"
    return {n: int(m[1]) for n in names if (m := re.fullmatch(wanted, n))}


def state_of(reader, config, names):
    """The tensors under their names in transformers, as the model has them."""
    arch = value(reader, "general.architecture")
    architectures = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    mapped = gguf.get_tensor_name_map(architectures[arch], config["num_hidden_layers"])
    by_name = {mapped.get_name(n, try_suffixes=(".weight", ".bias")): n for n in names}
    head_dim = value(reader, f"{arch}.attention.key_length")
    state, kinds = {}, {}
    for tensor in reader.tensors:
        experts = experts_of(tensor, names)
        for name, expert in experts.items():
            state[name], kinds[name] = numbers(tensor)[expert], tensor.tensor_type.name
        if experts:
            continue
        name = by_name.get(tensor.name)
        if name is None and tensor.name == "output.weight":
            name = "lm_head.weight"
        if name is None:
            say(tensor.name.startswith("rope_"), f"{tensor.name} has no name in the model")
            continue
        x = numbers(tensor)
        if arch == "llama" and re.search(r"(q|k)_proj\.", name):
            x = unpaired(x, head_dim)
        if arch.startswith("gemma") and name.endswith("norm.weight"):
            x = x - 1
        if name.endswith("shared_expert_gate.weight"):
            x = x.reshape(1, -1)
        state[name], kinds[name] = x, tensor.tensor_type.name
    return state, kinds


def check_keys(reader, config):
    arch = value(reader, "general.architecture")
    pairs = {"block_count": "num_hidden_layers", "embedding_length": "hidden_size",
             "feed_forward_length": "intermediate_size", "attention.head_count": "num_attention_heads",
             "attention.layer_norm_rms_epsilon": "rms_norm_eps", "vocab_size": "vocab_size"}
    pairs |= {key: name for key, name in (("expert_count", "num_local_experts"), ("expert_count", "num_experts"),
                                          ("expert_used_count", "num_experts_per_tok")) if name in config}
    for key, name in pairs.items():
        found = value(reader, f"{arch}.{key}")
        say(found is not None and abs(found - config[name]) <= 1e-6 * config[name], f"{arch}.{key} = {found}")


def check_plain(state, kinds, original):
    same = sum(1 for n, k in kinds.items() if n in original and k in ("F32", "F16", "BF16") and
               np.array_equal(state[n], original[n].float().numpy().astype(state[n].dtype)))
    plain = [n for n, k in kinds.items() if n in original and k in ("F32", "F16", "BF16")]
    missing = [n for n in original if n not in state and n != "lm_head.weight"]
    say(not missing, f"every tensor of the model is in the file {missing[:3]}")
    print(f"     {same} of {len(plain)} tensors that stay are the same bit for bit (folded factors change norms)")
    for kind in sorted(set(kinds.values())):
        print(f"     {kind}: {sum(1 for k in kinds.values() if k == kind)} tensors")


def check_codes(state, kinds, folder):
    """Codes · scales of a compressed-tensors folder with symmetric grids."""
    tensors = model_tensors(folder)
    same = all_ = 0
    for name, kind in kinds.items():
        if not kind.startswith("Q"):
            continue
        stem = name.removesuffix("weight")
        scale = tensors[stem + "weight_scale"].float()
        if stem + "weight_packed" in tensors:
            words = tensors[stem + "weight_packed"].numpy().view(np.uint32)
            bits = 8 if kind == "Q8_0" else 4
            shifts = np.arange(0, 32, bits, dtype=np.uint32)
            codes = (words[..., None] >> shifts & (2 ** bits - 1)).reshape(words.shape[0], -1).astype(np.float32)
            codes -= 2 ** (bits - 1)
        else:
            codes = tensors[stem + "weight"].numpy().astype(np.float32)
        groups = scale.shape[1] if scale.ndim == 2 else 1
        scales = np.repeat(scale.numpy().reshape(-1, groups), codes.shape[1] // groups, axis=1)
        all_ += 1
        same += np.array_equal(codes * scales, state[name])
    say(same == all_ and all_ > 0, f"{same} of {all_} quantized tensors equal codes · scales bit for bit")


def check_ids(llama, folder, add_special):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    different = 0
    for text in TEXTS:
        ours = tokenizer(text, add_special_tokens=add_special)["input_ids"]
        theirs = llama.tokenize(text.encode(), add_bos=add_special, special=True)
        if ours != theirs:
            different += 1
            print(f"     {text!r}: {ours} here, {theirs} by llama.cpp")
    say(not different, f"token ids of {len(TEXTS)} texts, {different} differ")
    return tokenizer


def losses(logits, ids):
    logp = torch.log_softmax(torch.tensor(logits[:-1]).double(), -1)
    return -logp[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].mean().item()


def run_experts(module, gate_rule, up_rule, down_rule, x, chosen, weights):
    """What transformers computes, one expert after the other."""
    out = torch.zeros_like(x)
    for e in range(module.down_proj.shape[0]):
        token, place = torch.where(chosen == e)
        gate, up = module.gate_up_proj[e].chunk(2)
        inner = module.act_fn(gate_rule(x[token]) @ gate.T) * (up_rule(x[token]) @ up.T)
        out.index_add_(0, token, down_rule(inner) @ module.down_proj[e].T * weights[token, place, None])
    return out


def round_inputs(model, kinds):
    """What llama.cpp's processor kernels make of the inputs of a linear whose weight has this type."""
    def block(x):
        blocks = x.reshape(-1, 32)
        scale = blocks.abs().amax(-1, keepdim=True) / 127
        codes = torch.where(scale > 0, blocks / scale, 0.0)
        codes = torch.sign(codes) * torch.floor(codes.abs() + 0.5)
        return (codes * scale.half().float()).reshape(x.shape)

    def large_block(x):
        blocks = x.reshape(-1, 256)
        scale = blocks.abs().amax(-1, keepdim=True) / 127
        codes = torch.where(scale > 0, torch.round(blocks / scale), 0.0)
        return (codes * scale).reshape(x.shape)
    rules = {"BF16": lambda x: x.bfloat16().float(), "F16": lambda x: x.half().float(), "F32": lambda x: x}
    rules |= {kind: block for kind in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4")}
    rules |= {kind: large_block for kind in ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS")}
    for name, module in model.named_modules():
        if type(module).__name__.endswith("Experts"):
            kind = {part: next(k for n, k in kinds.items() if n.startswith(name.rsplit(".", 2)[0] + ".") and
                               re.search(rf"experts\.0\.({'|'.join(EXPERT_PARTS[part])})\.", n)) for part in EXPERT_PARTS}
            module.forward = functools.partial(run_experts, module, rules[kind["gate"]], rules[kind["up"]], rules[kind["down"]])
        elif isinstance(module, torch.nn.Linear):
            kind = kinds.get(name + ".weight", kinds.get("model.embed_tokens.weight"))
            module.register_forward_pre_hook(lambda _, inputs, rule=rules[kind]: (rule(inputs[0]),))


def model_of(folder, state):
    """The model of a folder's config.json with these numbers, which transformers may put together, as experts."""
    with tempfile.TemporaryDirectory() as name:
        config = json.loads((pathlib.Path(folder) / "config.json").read_text()) | {"pad_token_id": None}
        (pathlib.Path(name) / "config.json").write_text(json.dumps(config))
        save_file({n: torch.tensor(x.astype(np.float32)) for n, x in state.items()}, pathlib.Path(name) / "model.safetensors",
                  metadata={"format": "pt"})
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            name, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    return model.eval(), info


def check_logits(llama, folder, state, kinds, ids, bound):
    model, info = model_of(folder, state)
    wrong = [k for n in ("missing_keys", "unexpected_keys", "mismatched_keys") for k in info[n]]
    say(not wrong, f"transformers takes the tensors {wrong[:3]}")
    with torch.no_grad():
        exact = model(torch.tensor([ids])).logits[0].numpy()
        round_inputs(model, kinds)
        ours = model(torch.tensor([ids])).logits[0].numpy()
    llama.reset()
    llama.eval(ids)
    theirs = np.array(llama.scores[:len(ids)], dtype=np.float32)
    difference = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    same = float((ours.argmax(-1) == theirs.argmax(-1)).mean())
    a, b, c = losses(exact, ids), losses(ours, ids), losses(theirs, ids)
    say(difference <= bound, f"logits differ by {difference:.2e} of the largest; {100 * same:.2f} % same choice")
    print(f"     perplexity of {len(ids)} tokens: {np.exp(a):.6f} in float, {np.exp(b):.6f} with such inputs, "
          f"{np.exp(c):.6f} by llama.cpp")
    return model


def greedy(model, llama, ids, n):
    with torch.no_grad():
        ours = model.generate(torch.tensor([ids]), max_new_tokens=n, do_sample=False, pad_token_id=0,
                              eos_token_id=None)[0, len(ids):].tolist()
    llama.reset()
    theirs = []
    llama.eval(ids)
    for _ in range(n):
        theirs.append(int(np.argmax(llama.scores[llama.n_tokens - 1])))
        llama.eval([theirs[-1]])
    same = next((i for i in range(n) if ours[i] != theirs[i]), n)
    print(f"     greedy text: the first {same} of {n} tokens are the same")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("file")
    parser.add_argument("--compressed")
    parser.add_argument("--text")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--greedy", type=int, default=0, help="tokens of greedy text to compare")
    parser.add_argument("--bound", type=float, default=0.1, help="tiny models keep 1e-6, deep ones spread each rounding")
    args = parser.parse_args()
    config = json.loads((pathlib.Path(args.model) / "config.json").read_text())
    reader = gguf.GGUFReader(args.file)
    original = model_tensors(args.model)
    check_keys(reader, config)
    state, kinds = state_of(reader, config, original)
    check_plain(state, kinds, original)
    if args.compressed:
        check_codes(state, kinds, args.compressed)
    try:
        import llama_cpp
    except ImportError:
        print("llama-cpp-python is not there; the rest is left out")
        return
    llama = llama_cpp.Llama(args.file, n_ctx=args.tokens + 128, n_batch=args.tokens + 128, logits_all=True, verbose=False,
                            n_threads=2, type_k=0, type_v=0)
    if value(reader, "tokenizer.ggml.model") == "none":
        ids = np.random.default_rng(1).integers(3, config["vocab_size"], min(args.tokens, 32)).tolist()
    else:
        tokenizer = check_ids(llama, args.model, False)
        check_ids(llama, args.model, True)
        text = pathlib.Path(args.text).read_text() if args.text else " ".join(TEXTS)
        ids = tokenizer(text[:8 * args.tokens])["input_ids"][:args.tokens]
    model = check_logits(llama, args.model, state, kinds, ids, args.bound)
    if args.greedy:
        greedy(model, llama, ids[:16], args.greedy)


if __name__ == "__main__":
    main()
    sys.exit(failures > 0)
