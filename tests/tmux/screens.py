"""Drives kvdbg's screen under tmux and checks what it shows. TAP on stdout.

Every test has a window of its own in one tmux server, started all at once, so that they wait for each other's work and
not for their sum. A window runs: stty -g, kvdbg, stty -g again; a terminal is sane when the two agree and tmux has left
the alternate screen.
"""
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.abspath(os.environ.get("KVDBG", "build/kvdbg"))
MODEL = "models/smollm2-135m-instruct-q4_1.gguf"
SERVER = f"kvdbg-test-{os.getpid()}"
TINY = "--precision f32 --threads 1 -p tests/dialogue/fox.txt synthetic:tiny"
LIMIT = 20  # s; only what is broken takes so long
number = failed = 0
scratch = tempfile.mkdtemp()
environment = dict(os.environ, HOME=scratch, LC_ALL="C.UTF-8", GOMP_SPINCOUNT="4000")
for name in ("NO_COLOR", "XDG_STATE_HOME", "TMUX", "TMUX_PANE", "COLORTERM"):
    environment.pop(name, None)


def tmux(*words):
    done = subprocess.run(["tmux", "-L", SERVER, "-f", "/dev/null", "-u", *words], env=environment,
                          capture_output=True, text=True, check=False)
    return done.stdout


def check(good, title, shown=""):
    global number, failed
    number += 1
    failed += not good
    print(("ok" if good else "not ok") + f" {number} - {title}")
    if not good:
        print("".join(f"# {line}\n" for line in str(shown).rstrip().split("\n")), end="")
    sys.stdout.flush()


class Window:
    """kvdbg in a tmux window of that size; `env`: words for env(1); `lines`: what the shell does before."""

    def __init__(self, cols, rows, env="", args=TINY, term="tmux-256color", before="", after=""):
        self.files = os.path.join(scratch, f"w{id(self)}")
        # The prompt behind it shows that the shell's terminal works; the second cat keeps the window.
        script = (f"{before}\nstty -g >{self.files}.was\necho $$ >{self.files}.sh\n"
                  f"env TERM={term} {env} {shlex.quote(PROGRAM)} -q -nx {args}\n"
                  f"status=$?\nstty -g >{self.files}.is\necho \"[exit $status]\"\n{after}\ncat")
        self.id = tmux("new-session", "-d", "-P", "-F", "#{pane_id}", "-x", str(cols), "-y", str(rows),
                       "sh", "-c", script).strip()

    def text(self, *how):
        return tmux("capture-pane", "-p", "-t", self.id, *how)

    def get(self, what):
        return tmux("display-message", "-p", "-t", self.id, what).strip()

    def keys(self, *names):
        tmux("send-keys", "-t", self.id, *names)

    def line(self, text):
        tmux("send-keys", "-t", self.id, "-l", text)
        self.keys("Enter")

    def until(self, wanted, seconds=LIMIT):
        """The screen once it matches; the last one with a mark when it does not."""
        end = time.monotonic() + seconds
        while True:
            shown = self.text()
            if re.search(wanted, shown, re.M):
                return shown
            if time.monotonic() > end:
                check(False, f"\"{wanted}\" is shown", shown)
                return ""
            time.sleep(0.05)

    def screen(self, alternate, seconds=LIMIT):
        """Whether the terminal comes to its alternate screen ("1") or leaves it ("0")."""
        end = time.monotonic() + seconds
        while self.get("#{alternate_on}") != alternate:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def pid(self):
        """kvdbg's process number, of the shell's children."""
        with open(self.files + ".sh", encoding="ascii") as f:
            shell = f.read().strip()
        with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as f:
            return int(f.read().split()[0])

    def sane(self, title, status):
        """kvdbg has gone with that exit status and has left the terminal as it was."""
        shown = self.until(r"^\[exit \d+\]")
        check(f"[exit {status}]" in shown, f"{title}: exit status {status}", shown)
        with open(self.files + ".was", encoding="ascii") as was, open(self.files + ".is", encoding="ascii") as now:
            before, after = was.read(), now.read()
        check(before == after and before, f"{title}: stty is as before", before + after)
        check(self.get("#{alternate_on} #{cursor_flag} #{mouse_any_flag}") == "0 1 0",
              f"{title}: own screen, cursor, no mouse", self.get("#{alternate_on} #{cursor_flag} #{mouse_any_flag}"))


KEYS = r"F1 Help"


def every_row_fits(w, title):
    cols, rows = map(int, w.get("#{pane_width} #{pane_height}").split())
    shown = w.text().rstrip("\n").split("\n")
    check(len(shown) <= rows and all(len(line) <= cols for line in shown), title, "\n".join(shown))


def sizes():
    start = {size: Window(*size) for size in ((80, 24), (200, 60), (40, 10))}
    for size, w in start.items():
        w.until(KEYS)
        w.line("run")
    for (cols, rows), w in start.items():
        shown = w.until(r"^\(kvdbg\) *$") and w.until(r"^ done, tick 115")
        name = f"{cols}x{rows}"
        check(shown, f"{name}: a run shows where it ended", shown)
        every_row_fits(w, f"{name}: nothing is beyond the edge")
    w = start[80, 24]
    tmux("resize-window", "-t", w.id, "-x", "120", "-y", "40")
    shown = w.until(r"^.{100,}$") and w.text()
    check(len(shown.rstrip("\n").split("\n")) == 40, "a larger window is filled to its last row", shown)
    tmux("resize-window", "-t", w.id, "-x", "40", "-y", "10")
    time.sleep(0.2)
    shown = w.until(r"\(kvdbg\)")
    every_row_fits(w, "a smaller one as well")
    tmux("resize-window", "-t", w.id, "-x", "12", "-y", "2")
    time.sleep(0.2)
    check(w.text().strip(), "two rows of twelve columns are not empty", w.text())
    tmux("resize-window", "-t", w.id, "-x", "80", "-y", "24")
    w.until(KEYS)
    w.keys("F10")
    w.until(r"y or n|\[exit")
    w.keys("y")
    w.sane("F10", 0)


def kinds():
    """Terminals by name; each must show the screen, or say in one sentence why not."""
    screens = ("tmux-256color", "screen-256color", "xterm", "xterm-256color", "vt100", "linux")
    start = {term: Window(80, 24, term=term) for term in screens}
    start["NO_COLOR"] = Window(80, 24, env="NO_COLOR=1")
    start["C"] = Window(80, 24, env="LC_ALL=C")
    prompts = {term: Window(100, 24, term=term) for term in ("dumb", "xterm-kitty", "nosuch")}
    for w in start.values():
        w.until(KEYS)
        w.line("run")
    for term, w in start.items():
        w.until(r"Request finished")
        shown = w.until(r"heat  L0 H0  1\.2149 nats")
        check("1.21" in shown, f"{term}: the screen, with numbers that can be read", shown)
    colors = {term: len(set(re.findall(r"\x1b\[[0-9;]*(?:4[0-7]|48;5;\d+)m", w.text("-e"))))
              for term, w in start.items()}
    check(colors["tmux-256color"] > 4, "256 colors: grounds", colors)
    none = re.findall(r"\x1b\[[0-9;]*\b(?:3[0-7]|4[0-7]|[34]8;5;\d+)m", start["NO_COLOR"].text("-e"))
    check(not none, "NO_COLOR: no color", none)
    start["C"].line("layout split")
    shown = start["C"].until(r"attn +L0 H0") and start["C"].until(r"log10")
    beyond = [c for c in shown if ord(c) > 126]
    check(shown and not beyond, "LC_ALL=C: ASCII only", shown)
    for term, w in prompts.items():
        shown = w.until(r"^\(kvdbg\)")
        check(re.search(r"here is the prompt\.$", shown, re.M), f"{term}: one sentence, and the prompt", shown)
        w.line("quit")
    for term, w in prompts.items():
        w.sane(term, 0)
    for term, w in start.items():
        w.line("quit")
        w.until(r"y or n|\[exit")
        w.keys("y")
        w.until(r"^\[exit 0\]")


def true_colors():
    """Direct colors where they are asked for and described; else a sentence and what there is."""
    known = subprocess.run(["infocmp", "tmux-direct"], capture_output=True, check=False).returncode == 0
    w = Window(80, 24, args="--color truecolor " + TINY)
    w.until(KEYS if known else r"direct colors")
    w.line("run")
    w.until(r"heat  L0 H0  1\.2149 nats")
    shown = w.text("-e")
    check(bool(re.search(r"48;2;\d+;\d+;\d+", shown)) == known, "--color truecolor: direct colors, if described", shown)
    w.line("set tui color 256")
    w.until(r"^\(kvdbg\) set tui color 256")
    time.sleep(0.3)
    shown = w.text("-e")
    check("48;5;" in shown and "48;2;" not in shown, "set tui color 256 takes effect at once", shown)
    w.line("set tui color none")
    w.until(r"^\(kvdbg\) set tui color none")
    time.sleep(0.3)
    check(not re.search(r"[34]8;5;\d", w.text("-e")), "set tui color none", w.text("-e"))
    w.line("quit")
    w.until(r"y or n|\[exit")
    w.keys("y")
    w.sane("after changes of color", 0)


def signals():
    start = {name: Window(80, 24) for name in ("SIGTERM", "SIGHUP", "SIGSEGV", "SIGABRT")}
    for w in start.values():
        w.until(KEYS)
    for name, w in start.items():
        os.kill(w.pid(), getattr(signal, name))
    for name, w in start.items():
        w.sane(name, 128 + getattr(signal, name))
    w = Window(80, 24)
    w.until(KEYS)
    w.line("shell echo noise >&2; echo loud")
    shown = w.until(r"^loud") and w.until(r"^noise")
    check(re.search(KEYS, (shown + "\n" * 24).split("\n")[23]), "noise goes to the log", shown)
    w.keys("C-x", "a")
    check(w.screen("0"), "C-x a leaves the screen")
    w.until(r"^\(kvdbg\) *$")
    w.line("print 6*7")
    w.until(r"^\$1 = 42")
    w.line("tui enable")
    check(w.screen("1"), "tui enable comes back")
    w.until(KEYS)
    w.line("tui disable")
    check(w.screen("0"), "tui disable leaves it")
    w.until(r"^\(kvdbg\) *$")
    w.keys("C-d")
    w.until(r"y or n|\[exit")
    w.keys("y")
    w.sane("the prompt after the screen", 0)


def idle():
    w = Window(80, 24)
    w.until(KEYS)
    w.line("run")
    w.until(r"Request finished")
    time.sleep(0.5)

    def ticks():
        with open(f"/proc/{w.pid()}/stat", encoding="ascii") as f:
            return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
    before = ticks()
    time.sleep(2)
    check(ticks() == before, "an idle screen takes no time", (before, ticks()))
    w.line("quit")
    w.until(r"y or n|\[exit")
    w.keys("y")
    w.sane("quit", 0)


def wide():
    path = os.path.join(scratch, "wide.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write("日本語のテキスト and emoji 🦊🐶, combining é, 한국어. " * 3 + "\n")
    args = f"--precision f32 --threads 1 -p {path} "
    real = os.path.exists(MODEL)
    w = Window(60, 24, args=args + (MODEL if real else "synthetic:tiny"))
    w.until(KEYS)
    w.line("layout tokens")
    shown = w.until(r"^ tokens") and w.until("text|and")
    every_row_fits(w, "wide characters stay within the edge")
    check(not real or "日" in shown and "🦊" in shown, "they are shown", shown)
    w.keys("F10")
    w.until(r"y or n|\[exit")
    w.keys("y")
    w.sane("wide characters", 0)


def interrupt():
    if not os.path.exists(MODEL):
        check(True, "C-c in a run of the real model # SKIP no model: make model")
        return
    w = Window(80, 24, args=f"-p sessions/tour.txt {MODEL}")
    w.until(KEYS)
    w.line("set decode.tokens 4000")
    w.line("run")
    w.until(r"C-c stops")
    tmux("resize-window", "-t", w.id, "-x", "100", "-y", "30")
    shown = w.until(r"^.{81,}$")
    check("C-c stops" in shown or "(kvdbg)" in shown, "a resize while it runs", shown)
    w.keys("C-c")
    shown = w.until(r"^\(kvdbg\) *$") and w.until(r"F1 Help")
    check("C-c stops" not in shown, "C-c stops a run at a stage", shown)
    w.line("print $tick >= 0")
    w.until(r"^\$1 = 1")
    w.keys("C-d")
    w.until(r"y or n|\[exit")
    w.keys("y")
    w.sane("C-d", 0)


def curves():
    text, profile = os.path.join(scratch, "curves.txt"), os.path.join(scratch, "curves.json")
    with open(text, "w", encoding="utf-8") as f:
        f.write("The quick brown fox jumps over the lazy dog. " * 30)
    w = Window(80, 24, args="--precision f32 --threads 1 synthetic:smollm2-135m")
    w.until(KEYS)
    w.line("layout sensitivity")
    w.until(r"^ sensitivity +no profile yet")
    w.line(f"sensitivity {text} -o {profile} -tokens 32")
    shown = w.until(r"^ sensitivity +curves, sum +L0 at 25 %: [0-9.e-]+ nats a token +measuring L\d+ of 30")
    check("tuned" not in shown and "///" in shown and "C-c stops" in shown, "curves are shown as they are measured", shown)
    w.keys("Down", "Left")
    shown = w.until(r"^ sensitivity .* L1 at 15 %")
    check("measuring" in shown, "the cursor moves meanwhile", shown)
    w.keys("C-c")
    w.until(KEYS)
    shown = w.until(r"of 30 curves")
    check("///" in shown and "measuring" not in shown, "C-c leaves what was measured", shown)
    w.line("quit")
    w.sane("after curves", 0)


def main():
    try:
        for test in (sizes, kinds, true_colors, signals, idle, wide, interrupt, curves):
            test()
    finally:
        tmux("kill-server")
    print(f"1..{number}")
    return 1 if failed else 0


sys.exit(main())
