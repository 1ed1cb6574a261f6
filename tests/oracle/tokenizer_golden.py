"""Golden token ids for tests/unit/tokenizer.c, by the `tokenizers` library.

Builds a byte-level BPE from the vocabulary and merges of a GGUF file, with the pre-tokenizer that SmolLM2 was
trained with (each digit alone, then GPT-2's expression), and writes two files:

tokenizer.txt       MODE TAB TEXT TAB IDS; mode t = plain text, s = special tokens are parsed, g = plain text by
                    GPT-2's expression alone, x = no IDS: the text has a byte without a token, which the
                    library drops without a word and kvdbg refuses
tokenizer_chat.txt  SYSTEM TAB CONTEXT TAB QUESTION TAB IDS of the template rendered by transformers and then
                    encoded; "-" = not given; the message is the context, or context + two line feeds + question

In a text \\xNN is a byte and \\\\ a backslash; whatever is not plainly printable is written so. Characters that
Unicode 14 does not have are left out, because the libraries that are compared know different versions.

With --peer the ids are compared with llama.cpp's on a sample, and what differs is printed (tokenizers rules).
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CONTROL = 3
SCRIPTS = {
    "Latin": (0x41, 0x17F), "Greek": (0x370, 0x3FF), "Cyrillic": (0x400, 0x4FF), "Armenian": (0x530, 0x58F),
    "Hebrew": (0x590, 0x5FF), "Arabic": (0x600, 0x6FF), "Devanagari": (0x900, 0x97F), "Bengali": (0x980, 0x9FF),
    "Tamil": (0xB80, 0xBFF), "Thai": (0xE00, 0xE7F), "Tibetan": (0xF00, 0xFFF), "Georgian": (0x10A0, 0x10FF),
    "Hangul": (0xAC00, 0xD7A3), "Ethiopic": (0x1200, 0x137F), "Khmer": (0x1780, 0x17FF),
    "Mongolian": (0x1800, 0x18AF), "Hiragana": (0x3041, 0x309F), "Katakana": (0x30A0, 0x30FF),
    "Han": (0x4E00, 0x9FFF), "Symbols": (0x2000, 0x2BFF), "Fullwidth": (0xFF01, 0xFFEF),
    "Gothic": (0x10330, 0x1034A), "Maths": (0x1D400, 0x1D7FF),
}
SPACES = list(
    "\t\n\v\f\r \x85\xa0\u1680\u180e\u2000\u2003\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
SPACES += ["\r\n", "  ", "   ", "\n\n", "\t\t", " \n", "\n "]
DIGITS = list(
    "0123456789\u0663\u0967\u0e53\uff17\u00b2\u00bd\u2163\u2460\u3007\u3021\u4e94\U0001d7d8\U00010107"
)
EMOJI = [
    "\U0001f600", "\U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\u2764\ufe0f", "\U0001f1eb\U0001f1f7", "\U0001f3f3\ufe0f\u200d\U0001f308", "1\ufe0f\u20e3",
    "\U0001f9d1\u200d\U0001f680", "\u263a",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
]
MARKS = [
    "e\u0301", "a\u0308\u0323", "\u0301", "n\u0303", "\u0915\u094d\u0937", "Z\u0351\u036b\u0343",
    "\u1e9b\u0323",
]
WORDS = """the of and to in is that it for on with as are this be at by from or have not they which one all
there were when your can said use each how will other about many then them these so some her would make like
him into time has two more write see number no way could people my than first water been call who its now
find long down day did get come made may part entropy attention cache budget layer tokenizer Lisbon McDonald
iPhone naïve café Straße ÅNGSTRÖM don't I'm we've they'll he'd it's YOU'RE CAN'T o'clock 'tis
rock'n'roll""".split()
CODE = [
    "for (int i = 0; i < n; i++) {", "    return x->y[3] != NULL;", "def f(a, *b, **c):", "\tif x == 0x7fff:",
    "#include <stdio.h>", "printf(\"%5.2f\\n\", 1e-6);", "SELECT * FROM t WHERE a='b';",
    "<div class=\"x\">&amp;</div>", "git commit -m 'fix #42'", "$ ls -la | grep '^d'", "x = {\"a\": [1, 2, 3]}",
    "λ x → x ∘ f", "}}})))];", "// ---- //", "https://example.org/a_b?c=1&d=%20#e",
    "user.name+tag@mail.example", "C:\\dir\\file.txt", "a&&b||!c", "<<EOF", "===", "@media (max-width: 600px)",
    "__init__", "snake_case_name", "camelCaseName", "SCREAMING_CASE", "r'\\d+(?:\\.\\d+)?'",
]
PUNCTUATION = list(".,;:!?-()[]{}<>\"'`~@#$%^&*_+=|/\\")
PUNCTUATION += ["...", "--", "''", "'s", "'ll", "'S", "\u2019s", "\u2014", "\u00ab"]
RUNS = ["a", " ", "\n", "\t", "=", "-", "ab", "0", "\u3000", "é", "\U0001f600", "aA", " x", "\r\n"]
LONG_RUNS = [
    ("a", 4000), (" ", 3000), ("the ", 700), ("\u0301", 900), ("1", 1500), ("!?", 800), ("\u6f22", 900),
]
PAPER = [
    "The special magic number for Lisbon is: 6237200.", "  42", " 42", "42 ", "4 2", "a1b2", "1,234,567.89",
    "3rd of May 2025", "", " ", "  ", "\n", "a\n\nb", "a \n b", "trailing   ", "   leading", "x\u180ey",
    "x \u180e y", "\u180e", "\u180e1", "\x851", "\x00", "a\x00b", "\x00\x01\x02", "\x1c\x1d\x1e\x1f", "\x1c1",
    " \x1f a", "\x7f", "\u200b\u200b", "' s", "'s's", "''s", "'\u017f", "\u2028\u2029", "\u30001", "\xa0\xa01",
    "\t1\t2", "1\n2\r\n3", "\u00bd\u00bd", " \u00bd", "\u216312", "\U0001d7d8\U0001d7d9", "\ud7a3\uac00",
    "\uffff", "\U0010ffff", "\ue000", "\ufffd", "\ufeffBOM", "\u0130\u0131\u1e9e", "\ufb01\u01c5\u02b0",
]
SPECIAL = [
    "<|im_start|>user\nHi<|im_end|>\n", "<|im_end|><|im_end|>", "a<|endoftext|>b", " <|im_start|> ",
    "<|im_start|", "<|im_end|>>", "<<|im_end|>", "<|im_|im_end|>", "1<|im_end|>2", "x  <|im_end|>  y",
    "<repo_name>a/b<file_sep>c", "<|IM_END|>", "<filename>1",
]


def read_model(path):
    fields = gguf.GGUFReader(path).fields
    tokens, merges = (fields["tokenizer.ggml." + name].contents() for name in ("tokens", "merges"))
    types = fields["tokenizer.ggml.token_type"].contents()
    return tokens, types, [tuple(m.split(" ")) for m in merges], fields["tokenizer.chat_template"].contents()


def build(tokens, types, merges, special, digits=True):
    vocabulary = {s: i for i, s in reversed(list(enumerate(tokens)))}
    t = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, fuse_unk=False))
    split = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    t.pre_tokenizer = pre_tokenizers.Sequence(
        split + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    t.decoder = decoders.ByteLevel()
    if special:
        t.add_special_tokens([AddedToken(s, special=True, normalized=False)
                              for s, kind in zip(tokens, types) if kind == CONTROL])
    return t


def known_bytes(tokens):
    """The bytes that have a token, by GPT-2's byte-level alphabet."""
    shown = [b for b in range(256) if 0x20 < b < 0x7F or 0xA0 < b != 0xAD]
    hidden = [b for b in range(256) if b not in shown]
    names = {b: chr(b) for b in shown} | {b: chr(256 + i) for i, b in enumerate(hidden)}
    vocabulary = set(tokens)
    return {b for b, name in names.items() if name in vocabulary}


def assigned(point):
    return unicodedata.category(chr(point)) not in ("Cn", "Cs")


def from_range(rng, low, high, n):
    points = [p for p in range(low, high + 1) if assigned(p)]
    return "".join(chr(rng.choice(points)) for _ in range(n))


def texts(rng):
    """At least 3,200 different strings, the odd ones first."""
    out = dict.fromkeys(PAPER + WORDS + CODE + EMOJI + MARKS + PUNCTUATION + SPACES + DIGITS)
    pick = rng.choice
    pieces = [WORDS, WORDS, SPACES, DIGITS, PUNCTUATION, EMOJI, MARKS, CODE]

    def add(count, make):
        goal = len(out) + count
        while len(out) < goal:
            out[make()] = None

    def prose():
        return " ".join(pick(WORDS) for _ in range(rng.randint(2, 14))) + pick(PUNCTUATION)

    def script(prefix):
        low, high = pick(list(SCRIPTS.values()))
        words = [from_range(rng, low, high, rng.randint(1, 6)) for _ in range(rng.randint(1, 5))]
        return prefix + pick([" ", "", "  ", ", "]).join(words)

    def mixed():
        return "".join(pick(pick(pieces)) for _ in range(rng.randint(2, 10)))

    add(400, prose)
    add(700, lambda: script(pick(["", "", " ", "x", "7"])))
    add(250, lambda: "".join(pick(SPACES) for _ in range(rng.randint(2, 8))))
    add(250, lambda: "".join(pick(SPACES + DIGITS + ["a", "."]) for _ in range(rng.randint(2, 9))))
    add(200, lambda: "".join(pick(DIGITS) + pick(["", "", " ", "  ", ",", "\n"]) for _ in range(rng.randint(2,
    9))))
    add(200, lambda: "\n".join(pick(["", "  ", "\t", "        "]) + pick(CODE) for _ in range(rng.randint(1,
    3))))
    add(250, lambda: from_range(rng, 0, 0xFF, rng.randint(1, 12)))
    add(250, lambda: from_range(rng, 0x80, 0xFFFF, rng.randint(1, 6)))
    add(150, lambda: from_range(rng, 0x10000, 0x1FFFF, rng.randint(1, 5)))
    add(120, lambda: "".join(pick(EMOJI + MARKS) for _ in range(rng.randint(1, 5))))
    add(500, mixed)
    add(60, lambda: pick(RUNS) * rng.randint(20, 300))
    for unit, times in LONG_RUNS:
        out[unit * times] = None
    return list(out)


def escape(text):
    out = []
    for c in text:
        plain = c == " " or (c.isprintable() and not unicodedata.category(c).startswith("M"))
        out.append("\\\\" if c == "\\" else c if plain else "".join(f"\\x{b:02x}" for b in c.encode()))
    return "".join(out)


def chats(rng):
    talk = [
        (None, "Hi", None), (None, "What is the capital of Portugal?", None), ("", "Hi", None),
        ("You are terse.", "2 + 2 = ?", None), (None, "", None), (None, "\nleading line", None),
        (None, "  two spaces", None), (None, "trailing  \n", None), (None, "42", None),
        ("Be kind.\n", "é\U0001f600", None),
        (None, "A long context. The magic number is: 6237200.", "What is it?"),
        ("You answer in one word.", "def f(x):\n    return x", "What does f do?"),
        (None, "Numbers: 1 2 3", "  Sum?"), (None, "Quote: 'x'", "\nWhy?"),
        (None, "\u4f60\u597d\u3002", "\u4ec0\u4e48\uff1f"), ("S", "C", "Q"),
    ]
    while len(talk) < 48:
        context = " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 60)))
        context += rng.choice([".", "!", "", " 7", ")"])
        question = rng.choice([None, "Which " + rng.choice(WORDS) + "?", "10 words, please."])
        talk.append((rng.choice([None, None, "", "You are a test."]), context, question))
    return talk


def chat_lines(rng, tokenizer, template):
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template)
    for system, context, question in chats(rng):
        user = context if question is None else context + "\n\n" + question
        messages = [{"role": "user", "content": user}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        rendered = fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer.encode(rendered).ids
        fields = ["-" if s is None else escape(s) for s in (system, context, question)]
        yield "\t".join(fields + [" ".join(map(str, ids))])


def peer_ids(program, model, text, special):
    with tempfile.NamedTemporaryFile("wb", suffix=".txt") as f:
        f.write(text.encode())
        f.flush()
        command = [program, "-m", model, "-f", f.name, "--ids", "--no-bos", "--log-disable", "--no-escape"]
        got = subprocess.run(command + ([] if special else ["--no-parse-special"]), capture_output=True,
        check=True)
    return [int(i) for i in got.stdout.decode().strip().strip("[]").split(",") if i.strip()]


def compare(rng, program, model, rows, count):
    rows = [row for row in rows if row[0] in "ts" and row[1]]
    sample = rng.sample(rows, min(count, len(rows)))
    differ = 0
    for mode, text, ids in sample:
        theirs = peer_ids(program, model, text, mode == "s")
        if theirs != ids:
            differ += 1
            print("differs:", mode, escape(text)[:120], ids[:16], theirs[:16])
    print(f"llama.cpp: {len(sample) - differ} of {len(sample)} equal")


def main():
    parser = argparse.ArgumentParser(description="Golden token ids by the tokenizers library.")
    parser.add_argument("model", help="GGUF file")
    parser.add_argument("folder", help="where the two files go")
    parser.add_argument("--peer", help="llama-tokenize, to compare with")
    parser.add_argument("--sample", type=int, default=400, help="strings to compare (default 400)")
    args = parser.parse_args()
    if unicodedata.unidata_version != "14.0.0":
        sys.exit(f"This Python has Unicode {unicodedata.unidata_version}; the files need 14.0.0 (Python 3.11).")
    rng = random.Random(20253)
    tokens, types, merges, template = read_model(args.model)
    plain, special = (build(tokens, types, merges, s) for s in (False, True))
    rows = [("t", s, plain.encode(s).ids) for s in texts(rng) + SPECIAL]
    rows += [("s", s, special.encode(s).ids) for s in SPECIAL]
    pieces = SPECIAL + WORDS + SPACES + DIGITS
    joined = ["".join(rng.choice(pieces) for _ in range(rng.randint(2, 8))) for _ in range(80)]
    rows += [("s", s, special.encode(s).ids) for s in joined]
    gpt2 = build(tokens, types, merges, special=False, digits=False)
    short = [s for mode, s, _ in rows if mode == "t" and len(s) < 60]
    rows += [("g", s, gpt2.encode(s).ids) for s in rng.sample(short, 400)]
    known = known_bytes(tokens)
    rows = [(mode, s, ids) if known.issuperset(s.encode()) else ("x", s, []) for mode, s, ids in rows]
    for mode, text, ids in rows:
        if mode != "x" and special.decode(ids, skip_special_tokens=False) != text:
            sys.exit("decoding does not give the text back: " + escape(text)[:200])
    note = f"# made by: python3 tests/oracle/tokenizer_golden.py {os.path.relpath(args.model)} tests/golden\n"
    with open(os.path.join(args.folder, "tokenizer.txt"), "w", newline="\n") as f:
        f.write(note)
        f.writelines(f"{mode}\t{escape(text)}\t{' '.join(map(str, ids))}\n" for mode, text, ids in rows)
    with open(os.path.join(args.folder, "tokenizer_chat.txt"), "w", newline="\n") as f:
        f.write(note)
        f.writelines(line + "\n" for line in chat_lines(rng, special, template))
    print(f"{len(rows)} strings")
    if args.peer:
        compare(rng, args.peer, args.model, rows, args.sample)


if __name__ == "__main__":
    main()
