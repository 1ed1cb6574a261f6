"""Keys, clicks, sizes and signals by chance, on a real pseudo-terminal. TAP on stdout.

    python3 tests/chaos/chaos.py [KEYS [SEED]]     $KVDBG: the program

The screen must stay alive whatever comes, and give the terminal back as it was: by quit, and by SIGTERM in mid-work.
"""
import fcntl
import os
import pty
import random
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time

PROGRAM = os.path.abspath(os.environ.get("KVDBG", "build/kvdbg"))
PROMPT = os.path.abspath("tests/dialogue/fox.txt")
LETTERS = "cCdfFnNoOrsSiIuvwbkzygqs?/\\+-*=[]{}<>0lmxab 1234@L."
NAMED = ["\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[5~", "\x1b[6~", "\x1b[H", "\x1b[F", "\x1bOP", "\x1bOQ", "\x1bOR",
         "\x1bOS", "\x1b[15~", "\x1b[17~", "\t", "\x1b", "\x7f", "\r", "\r", "\x18", "\x0c", "\x03", "\x04", "日", "é", "🦊"]


class Screen:
    def __init__(self):
        self.home = tempfile.mkdtemp()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(self.home)
            os.environ.update(HOME=self.home, TERM="xterm-256color", LC_ALL="C.UTF-8", GOMP_SPINCOUNT="4000")
            os.execv(PROGRAM, [PROGRAM, "-q", "-nx", "--precision", "f32", "--threads", "1", "-p", PROMPT, "synthetic:tiny"])
        self.was = termios.tcgetattr(self.fd)
        self.tail, self.code, self.own = b"", None, False  # own: its screen, not a plain prompt
        self.size(24, 80)
        end = time.monotonic() + 20
        while b"F1" not in self.tail and time.monotonic() < end:
            self.drain(0.1)

    def size(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def drain(self, seconds=0.0):
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return
            if not data:
                return
            self.tail = (self.tail + data)[-4096:]
            for mode in re.findall(rb"\x1b\[\?1049([hl])", self.tail[-len(data) - 8:]):
                self.own = mode == b"h"
            seconds = min(seconds, 0.05)

    def status(self):
        """The exit status once it has ended; None while it runs. A stopped one is told to go on."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                os.kill(self.pid, signal.SIGCONT)
            elif pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def ended(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.drain(0.02)
            status = self.status()
            if status is not None:
                self.drain(0.1)
                return status
        os.kill(self.pid, signal.SIGKILL)
        return "nothing, it hung"

    def press(self, keys):
        _, ready, _ = select.select([], [self.fd], [], 5)
        if ready:
            try:
                os.write(self.fd, keys.encode())
            except OSError:
                pass
        self.drain(0.001)

    def restored(self):
        """Own screen left, cursor shown, and the terminal's mode as before (where it can still be asked)."""
        left = self.tail.rfind(b"\x1b[?1049l") >= self.tail.rfind(b"\x1b[?1049h")  # neither: a prompt without a screen
        shown = self.tail.rfind(b"\x1b[?25h") >= self.tail.rfind(b"\x1b[?25l")
        try:
            now = termios.tcgetattr(self.fd)
        except termios.error:
            now = self.was
        return left and shown and now[:4] == self.was[:4]


def chance(screen, rng):
    kind = rng.randrange(1000)
    if kind < 15:
        screen.size(rng.randrange(1, 70), rng.randrange(1, 220))
    elif kind < 20:
        os.kill(screen.pid, signal.SIGINT)
    elif kind < 24:
        os.kill(screen.pid, signal.SIGTSTP)
        time.sleep(0.01)
        screen.status()
        os.kill(screen.pid, signal.SIGCONT)
    elif kind < 30:
        os.kill(screen.pid, signal.SIGWINCH)
    elif kind < 60:
        button = rng.choice((0, 0, 64, 65))
        screen.press("\x1b[<%d;%d;%dM" % (button, rng.randrange(1, 200), rng.randrange(1, 60)))
    elif kind < 450:
        screen.press(rng.choice(NAMED))
    else:
        screen.press(rng.choice(LETTERS))


def check(good, title, shown=""):
    check.number += 1
    check.failed += not good
    print(("ok" if good else "not ok") + " %d - %s" % (check.number, title))
    if not good:
        print("# %s" % (shown,))


check.number = check.failed = 0


def main():
    keys, seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1500, int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng = random.Random(seed)
    screen, quits, bad = Screen(), 0, []
    for i in range(keys):
        try:
            chance(screen, rng)
        except ProcessLookupError:
            pass
        if i % 16 and i + 1 < keys:
            continue
        status = screen.status()
        if status is None:
            continue
        screen.drain(0.1)
        quits += 1
        if status != 0 or not screen.restored():
            bad.append("event %d: status %s, terminal %srestored, %r" % (
                i, status, "" if screen.restored() else "not ", screen.tail[-200:]))
        os.close(screen.fd)
        screen = Screen()
    check(not bad, "%d keys, clicks, sizes and signals: it lives, or was told to quit (%d times)" % (keys, quits), bad[:5])
    screen.drain(2)
    if screen.status() == 0:  # keys that still waited said so
        screen = Screen()
    screen.tail = b""
    end, cols = time.monotonic() + 20, 80
    while screen.own and len(screen.tail) < 500 and time.monotonic() < end:
        screen.size(24, cols)
        cols = 161 - cols
        screen.drain(0.3)
    check(not screen.own or len(screen.tail) >= 500, "and draws the screen when its size changes",
          (screen.status(), screen.tail[-300:]))
    if screen.status() is not None:
        screen = Screen()
    screen.press("\x03")
    screen.press("run\r")
    os.kill(screen.pid, signal.SIGTERM)
    status = screen.ended()
    check(status == -signal.SIGTERM and screen.restored(), "SIGTERM at work: the terminal is as before", (status, screen.tail[-200:]))
    print("1..%d" % check.number)
    return bool(check.failed)


sys.exit(main())
