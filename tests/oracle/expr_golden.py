#!/usr/bin/env python3
"""Random C expressions and what gcc says they are worth.

usage: expr_golden.py [SEED] >tests/golden/expressions.txt      (needs gcc)

One line an expression: "i" or "d" for a whole or a real result, the value (%lld or %.17g), a tab, the expression. Python
only sees to it that no step divides by zero, overflows or shifts too far; whole numbers are long long on both sides, and
both branches of a ?: have one type, for what GDB and kvdbg do with two is not C.
"""
import random
import subprocess
import sys
import tempfile

LIMIT = 2 ** 40
BINARY = ["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "<", ">", "<=", ">=", "==", "!=", "&&", "||"]
LEVEL = {"||": 0, "&&": 1, "|": 2, "^": 3, "&": 4, "==": 5, "!=": 5, "<": 6, ">": 6, "<=": 6, ">=": 6, "<<": 7, ">>": 7,
         "+": 8, "-": 8, "*": 9, "/": 9, "%": 9}


class Refused(Exception):
    """The expression has no value that C defines."""


def literal(rng):
    kind = rng.random()
    if kind < 0.6:
        n = rng.choice([0, 1, 2, 3, 5, 7, 8, 15, 100, 255, 4096, rng.randrange(100000)])
        text = rng.choice([str(n), str(n), hex(n), "0" + oct(n)[2:] if n else "0"])
        return text, text + "LL", n
    if kind < 0.65:
        c = rng.choice("aZ0 +")
        return f"'{c}'", f"(long long)'{c}'", ord(c)
    x = rng.choice([0.5, 1.25, 3.0, 1e3, 2.5e-3, 0.1])
    return repr(x), repr(x), x


def apply(op, a, b):
    whole = isinstance(a, int) and isinstance(b, int)
    if op in ("%", "&", "|", "^", "<<", ">>") and not whole:
        raise Refused
    if op in ("/", "%") and b == 0:
        raise Refused
    if op in ("<<", ">>") and not 0 <= b < 20:
        raise Refused
    if op == "/":
        r = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if whole else a / b
    elif op == "%":
        r = abs(a) % abs(b) * (-1 if a < 0 else 1)
    elif op == "&&":
        r = int(bool(a) and bool(b))
    elif op == "||":
        r = int(bool(a) or bool(b))
    elif op in ("<", ">", "<=", ">=", "==", "!="):
        r = int({"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b, "==": a == b, "!=": a != b}[op])
    else:
        r = {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "&": lambda: a & b, "|": lambda: a | b,
             "^": lambda: a ^ b, "<<": lambda: a << b, ">>": lambda: a >> b}[op]()
    if abs(r) > LIMIT:
        raise Refused
    return r


def make(rng, depth):
    """(kvdbg's text, C's text, level of the loosest operator, value)"""
    kind = rng.random()
    if depth == 0 or kind < 0.2:
        ours, c, value = literal(rng)
        return ours, c, 11, value
    if kind < 0.35:
        ours, c, level, value = make(rng, depth - 1)
        op = rng.choice("-!~+")
        if op == "~" and isinstance(value, float):
            raise Refused
        if level < 10 or ours[0] == op:
            ours, c = f"({ours})", f"({c})"
        value = {"-": -value, "!": int(not value), "~": ~value if isinstance(value, int) else 0, "+": value}[op]
        return op + ours, op + c, 10, value
    if kind < 0.42:
        q, p, r = (make(rng, depth - 1) for _ in range(3))
        if isinstance(p[3], int) != isinstance(r[3], int):
            raise Refused
        value = p[3] if q[3] else r[3]
        return f"({q[0]} ? {p[0]} : {r[0]})", f"({q[1]} ? {p[1]} : {r[1]})", 11, value
    op = rng.choice(BINARY)
    left, right = make(rng, depth - 1), make(rng, depth - 1)
    value = apply(op, left[3], right[3])
    text = []
    for side, tighter in ((left, 0), (right, 1)):
        wrap = side[2] < LEVEL[op] + tighter or rng.random() < 0.1
        text.append((f"({side[0]})", f"({side[1]})") if wrap else side[:2])
    space = rng.choice(["", " "]) if text[1][0][0] not in "+-&|<>=!" and text[0][0][-1] not in "0123456789.e" else " "
    return text[0][0] + space + op + space + text[1][0], text[0][1] + " " + op + " " + text[1][1], LEVEL[op], value


def main():
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    made = []
    while len(made) < 1500:
        try:
            made.append(make(rng, rng.randrange(1, 6)))
        except Refused:
            pass
    lines = ["#include <stdio.h>",
             '#define SHOW(x, ours) _Generic((x), double: printf("d %.17g\\t%s\\n", (double)(x), ours), '
             'default: printf("i %lld\\t%s\\n", (long long)(x), ours))', "int main(void)", "{"]
    for ours, c, _, _ in made:
        quoted = ours.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'    SHOW({c}, "{quoted}");')
    lines += ["    return 0;", "}", ""]
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/e.c", "w", encoding="ascii") as f:
            f.write("\n".join(lines))
        subprocess.run(["gcc", "-w", "-O0", "-fwrapv", "-ffp-contract=off", "-o", f"{folder}/e", f"{folder}/e.c"],
                       check=True)
        sys.stdout.write(subprocess.run([f"{folder}/e"], stdout=subprocess.PIPE, text=True, check=True).stdout)


main()
