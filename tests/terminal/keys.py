"""Drives kvdbg's prompt through a pseudo-terminal and checks what it shows. TAP on stdout."""
import os
import pty
import re
import select
import signal
import sys
import tempfile
import time

PROGRAM = os.environ.get("KVDBG", "build/kvdbg")
PROMPT = "(kvdbg) "
number = failed = 0


class Terminal:
    def __init__(self, *args):
        self.home = tempfile.mkdtemp()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(HOME=self.home, TERM="dumb", LC_ALL="C.UTF-8", GOMP_SPINCOUNT="4000")
            os.environ.pop("XDG_STATE_HOME", None)
            os.execv(PROGRAM, [PROGRAM, "-q", "-nx", "-nw", *args])
        self.text = ""

    def until(self, wanted, seconds=60):
        """What is shown up to and with `wanted`; "" when it does not come."""
        end = time.monotonic() + seconds
        while wanted not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                return ""
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                return self.text if wanted == "" else ""
            self.text += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r|\x07", "", data.decode("utf-8", "replace"))
        at = self.text.index(wanted) + len(wanted)
        shown, self.text = self.text[:at], self.text[at:]
        return shown

    def keys(self, text, wanted=PROMPT, seconds=60):
        if text[0] < " ":
            time.sleep(0.1)  # the terminal must be in the editor's mode by then, or it takes the key for itself
        os.write(self.fd, text.encode())
        return self.until(wanted, seconds)

    def end(self):
        """The exit status, after end of file."""
        time.sleep(0.2)
        os.write(self.fd, b"\x04")
        for _ in range(600):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    if b"y or n" in os.read(self.fd, 65536):
                        os.write(self.fd, b"y\n")
                except OSError:
                    time.sleep(0.05)  # it has let go of the terminal, and ends
        os.kill(self.pid, signal.SIGKILL)
        return None


def check(good, title, shown=""):
    global number, failed
    number += 1
    failed += not good
    print(("ok" if good else "not ok") + f" {number} - {title}")
    if not good:
        print("".join(f"# {line}\n" for line in str(shown).split("\n")), end="")


def tiny():
    t = Terminal("--precision", "f32", "-p", "tests/dialogue/fox.txt", "synthetic:tiny")
    check(t.until(PROMPT) != "", "the prompt comes")
    return t


def words(t):
    shown = t.keys("start\n")
    check("prefill:0 embed, tick 0" in shown, "a command", shown)
    shown = t.keys("stepi\n")
    check("1\t" in shown, "stepi", shown)
    shown = t.keys("\n")
    check("2\t" in shown, "an empty line repeats it", shown)
    shown = t.keys("define twice\n", ">")
    shown += t.keys("stepi 2\n", ">") + t.keys("dont-repeat\n", ">") + t.keys("end\n")
    check('definition of "twice"' in shown, "define asks for its lines behind a >", shown)
    shown = t.keys("twice\n")
    check("4\t" in shown, "the new command", shown)
    shown = t.keys("\n")
    check("\t" not in shown, "is not repeated where it says so", shown)
    shown = t.keys("while 1\n", ">") + t.keys("\x03")
    check("Quit" in shown, "Ctrl-C leaves a block that is being typed", shown)
    os.write(t.fd, b"print 1")
    t.until("print 1")
    shown = t.keys("\x03")
    check("Quit" in shown and "$1" not in shown, "Ctrl-C drops a line", shown)
    shown = t.keys("info bre\t\n", "No breakpoints")
    check("No breakpoints" in shown, "Tab completes", shown)
    shown = t.keys("show user tw\t\n", "stepi 2")
    check("stepi 2" in shown, "Tab completes the user's own commands", shown)
    shown = t.keys("\x10\x10\n", "No breakpoints")
    check("No breakpoints" in shown, "the history goes back", shown)
    shown = t.keys("show commands\n", "show commands\n" + PROMPT)
    check("info breakpoints" in shown and "twice" in shown, "show commands lists what was typed", shown)
    shown = t.keys("run\n", "(y or n) ") + t.keys("n\n")
    check("Request not restarted." in shown, "run asks before it drops a request", shown)


def interrupts(t):
    shown = t.keys("set confirm off\n") + t.keys("define forever\n", ">") + t.keys("while 1\n", ">")
    shown += t.keys("end\n", ">") + t.keys("end\n")
    os.write(t.fd, b"forever\n")
    time.sleep(0.3)
    shown = t.keys("\x03")
    check("Interrupted." in shown, "Ctrl-C ends a loop that does nothing", shown)
    t.keys("define around\n", ">"), t.keys("while 1\n", ">"), t.keys("run\n", ">"), t.keys("end\n", ">"), t.keys("end\n")
    os.write(t.fd, b"around\n")
    time.sleep(0.5)
    shown = t.keys("\x03")
    check(shown != "", "Ctrl-C ends a loop that runs requests", shown)
    shown = t.keys("print 40 + 2\n")
    check("= 42" in shown, "and the prompt works", shown)


def long_run():
    model = "models/smollm2-135m-instruct-q4_1.gguf"
    if not os.path.exists(model):
        check(True, "Ctrl-C stops a request # SKIP no model: make model")
        return
    t = Terminal("--text", "word " * 3000, "--chat", "off", model)
    t.until(PROMPT)
    os.write(t.fd, b"run\n")
    t.until("Starting request")
    time.sleep(0.5)
    shown = t.keys("\x03")
    check("SIGINT" in shown and "prefill" in shown, "Ctrl-C stops a request at a stage boundary", shown)
    shown = t.keys("stepi\n")
    check("\t" in shown, "and it goes on from there", shown)
    check(t.end() == 0, "end of file quits, after asking")


def main():
    t = tiny()
    words(t)
    interrupts(t)
    check(t.end() == 0, "end of file quits")
    history = os.path.join(t.home, ".kvdbg_history")
    check(os.path.exists(history) and "twice" in open(history, encoding="utf-8").read(), "the history is kept")
    long_run()
    print(f"1..{number}")
    return 1 if failed else 0


sys.exit(main())
