"""Small tokenizers of the families that kvdbg reads, and golden ids of them, for tests/unit/tokenizer_families.c.

Trains one tokenizer a family with `tokenizers` under that family's normalizer and pre-tokenizer, and one with
`sentencepiece`, and writes into FOLDER for each:

NAME/tokenizer.json, NAME/tokenizer_config.json   as transformers would (sentencepiece: NAME/tokenizer.model)
NAME/ids.txt          hashes of the ids of every text of tokenizer.txt, in its order; then lines MODE TAB TEXT TAB HASH
                      of texts with the family's own added tokens. MODE t = plain text, s = special tokens are parsed

HASH is FNV-1a of 32 bits over the ids, four bytes each, little-endian; 00000000 = not compared, for `tokenizers`
has an older Unicode than kvdbg for the normal form of a character there. Training breaks ties by chance where the
alphabet is limited: another run may write other, equally good vocabularies.
"""

import argparse
import json
import os
import random
import tempfile

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import tokenizer_golden as golden

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MARK = "\u2581"
CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
HEADERS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
SENTENCE = ["<unk>", "<s>", "</s>"]


def split(expression):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(expression), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def added(text, **rules):
    return AddedToken(text, **{"normalized": True, "special": False, **rules})


# name: normalizer, pre-tokenizer, special tokens, other added tokens, options
FAMILIES = {
    "gpt2": (None, pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"], [], {}),
    "smollm": (None, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                              pre_tokenizers.ByteLevel(add_prefix_space=False)]), CHATML, [], {}),
    "llama3": (None, split(LLAMA3), HEADERS, [], {"ignore_merges": True, "bos": "<|begin_of_text|>"}),
    "qwen2": (normalizers.NFC(), split(QWEN2), CHATML,
              [added("<think>", normalized=False), added("</think>", normalized=False),
               added("<tool_call>", normalized=False)], {}),
    "tekken": (None, split(TEKKEN), ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], [],
               {"ignore_merges": True, "bos": "<s>"}),
    "rules": (normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\t", " ")]),
              pre_tokenizers.ByteLevel(add_prefix_space=True), CHATML,
              [added("[left]", lstrip=True), added("[right]", rstrip=True), added("[both]", lstrip=True, rstrip=True),
               added("word", single_word=True), added("  "), added("\u00e9t\u00e9"), added("\ufb01x"),
               AddedToken("<mask>", special=True, lstrip=True, normalized=False)], {}),
    "mistral": (normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]), None, SENTENCE, [],
                {"bytes": True, "fuse_unk": True, "bos": "<s>"}),
    "metaspace": (None, pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="first", split=False), SENTENCE,
                  [added("<extra>", normalized=False)], {"bytes": True, "bos": "<s>", "pairs": True}),
    "pieces": (None, pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always", split=True), SENTENCE, [],
               {"fuse_unk": True}),
}


def fnv(ids):
    h = 0x811C9DC5
    for i in ids:
        for byte in i.to_bytes(4, "little"):
            h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{h:08x}"


def texts_of(path):
    """Mode and text of the lines of tokenizer.txt."""
    for line in open(path, encoding="utf-8", newline="\n"):
        if line.startswith("#"):
            continue
        mode, text, _ = line.rstrip("\n").split("\t")
        raw, i = bytearray(), 0
        while i < len(text):
            if text[i] != "\\":
                raw += text[i].encode()
                i += 1
            elif text[i + 1] == "x":
                raw.append(int(text[i + 2:i + 4], 16))
                i += 4
            else:
                raw += b"\\"
                i += 2
        yield mode, raw.decode()


def train(family, corpus, size):
    normalizer, pre, special, _, options = FAMILIES[family]
    t = Tokenizer(models.BPE())
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    level = not options.get("bytes") and family != "pieces"
    alphabet = pre_tokenizers.ByteLevel.alphabet() if level else []
    reserved = special + ([f"<0x{b:02X}>" for b in range(256)] if options.get("bytes") else [])
    t.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, limit_alphabet=160 if not level else 1000,
        special_tokens=reserved, show_progress=False))
    return level, json.loads(t.to_str())["model"]


def build(family, corpus, size):
    normalizer, pre, special, others, options = FAMILIES[family]
    level, model = train(family, corpus, size)
    bpe = models.BPE(vocab=model["vocab"], merges=[tuple(m) if isinstance(m, list) else tuple(m.split(" "))
                                                   for m in model["merges"]],
                     unk_token=None if level else "<unk>", fuse_unk=options.get("fuse_unk", False),
                     byte_fallback=options.get("bytes", False), ignore_merges=options.get("ignore_merges", False))
    t = Tokenizer(bpe)
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel() if level else decoders.Sequence(
        [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    t.add_tokens([a for a in others if not a.special])
    t.add_special_tokens([a for a in others if a.special])
    if options.get("bos"):
        t.post_processor = processors.TemplateProcessing(
            single=options["bos"] + " $A", special_tokens=[(options["bos"], t.token_to_id(options["bos"]))])
    return t


def unknown_form(family, text):
    return family == "rules" and any(0x10780 <= ord(c) <= 0x107BA for c in text)


def encode(t, mode, text):
    t.encode_special_tokens = mode != "s"
    return t.encode(text, add_special_tokens=False).ids


def write_json(path, data):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        json.dump(data, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


def save(folder, family, t):
    _, _, special, _, options = FAMILIES[family]
    data = json.loads(t.to_str())
    if not options.get("pairs"):
        data["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]]
    write_json(os.path.join(folder, "tokenizer.json"), data)
    config = {"bos_token": options.get("bos"), "eos_token": {"content": special[-1]}, "tokenizer_class": "T"}
    write_json(os.path.join(folder, "tokenizer_config.json"), config)


def write_ids(folder, note, texts, extra, encode_one, skip=lambda text: False):
    with open(os.path.join(folder, "ids.txt"), "w", encoding="utf-8", newline="\n") as f:
        f.write(note)
        hashes = ["0" * 8 if skip(text) else fnv(encode_one(mode, text)) for mode, text in texts]
        for i in range(0, len(hashes), 12):
            f.write(" ".join(hashes[i:i + 12]) + "\n")
        for mode, text in extra:
            f.write(f"{mode}\t{golden.escape(text)}\t{fnv(encode_one(mode, text))}\n")
    return len(hashes) + len(extra)


def extra_texts(rng, tokens):
    pieces = tokens * 3 + golden.SPACES + golden.WORDS[:40] + golden.DIGITS[:10] + list("<>[]|_-") + golden.MARKS
    for i in range(160):
        yield "ts"[i % 2], "".join(rng.choice(pieces) for _ in range(rng.randint(1, 8)))


def sentence_pieces(folder, corpus, size):
    with tempfile.TemporaryDirectory() as work:
        model = os.path.join(work, "m")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([s for s in corpus if "\n" not in s and s.strip() and max(s) < "\u0400"]), model_prefix=model,
            vocab_size=size, model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
            remove_extra_whitespaces=False, character_coverage=0.98, max_sentence_length=400, minloglevel=2)
        sp = sentencepiece.SentencePieceProcessor(model_file=model + ".model")
    with open(os.path.join(folder, "tokenizer.model"), "wb") as f:
        f.write(sp.serialized_model_proto())
    return sp


def main():
    parser = argparse.ArgumentParser(description="Golden ids of small tokenizers of each family.")
    parser.add_argument("texts", help="tests/golden/tokenizer.txt")
    parser.add_argument("folder", help="where the families' folders go")
    parser.add_argument("--size", type=int, default=900, help="tokens of each (default 900)")
    args = parser.parse_args()
    rng = random.Random(74)
    note = f"# made by: python3 tests/oracle/tokenizer_families.py {args.texts} {args.folder}\n"
    texts = [(mode, text) for mode, text in texts_of(args.texts) if mode != "g"]
    corpus = [text for _, text in texts if len(text) < 200]
    for family, (_, _, special, others, _) in FAMILIES.items():
        folder = os.path.join(args.folder, family)
        os.makedirs(folder, exist_ok=True)
        t = build(family, corpus, args.size)
        save(folder, family, t)
        extra = list(extra_texts(rng, special + [a.content for a in others]))
        n = write_ids(folder, note, texts, extra, lambda mode, text: encode(t, mode, text),
                      lambda text: unknown_form(family, text))
        print(family, t.get_vocab_size(), "tokens,", n, "strings")
    folder = os.path.join(args.folder, "sentencepiece")
    os.makedirs(folder, exist_ok=True)
    sp = sentence_pieces(folder, corpus, args.size + 200)
    plain = [("t", text) for _, text in texts if "\0" not in text]
    n = write_ids(folder, note, plain, list(("t", s) for _, s in extra_texts(rng, SENTENCE)),
                  lambda mode, text: sp.encode(text))
    print("sentencepiece", sp.get_piece_size(), "tokens,", n, "strings")


if __name__ == "__main__":
    main()
