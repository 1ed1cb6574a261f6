/* The screen on a terminal, by ncurses. */
#define NCURSES_WIDECHAR 1
#include <curses.h>
#undef KEY_F1
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "inspector/tui/state.h"
#include "inspector/tui/tui.h"

#define PAIRS 1024 /* of text role and ground, given out as they come up */

struct terminal {
    SCREEN *screen;
    FILE *in, *out; /* the terminal by files of its own, so that what is printed meanwhile can be caught */
    bool ascii;     /* it is not to get a character beyond ASCII */
    int colors;     /* 0, 8, 256 */
    uint16_t pair[COLOR_ROLES][1 + COLOR_MAPS * COLOR_STEPS];
    int pairs;
};

static struct terminal term;

/* --- restoring, whatever happens ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t resized;

static void on_resize(int n)
{
    (void)n;
    resized = 1;
}

/* What brings the terminal back without ncurses, for nothing but write and tcsetattr is safe in a signal handler. */
static struct {
    struct termios was;
    char bytes[256];
    size_t n;
    int fd; /* -1 = nothing to bring back */
} leave = { .fd = -1 };

/* A capability's bytes but for its padding, $<5/>. */
static void leave_add(const char *text)
{
    if (!text || text == (const char *)-1) return;
    while (*text) {
        const char *end = !strncmp(text, "$<", 2) ? strchr(text, '>') : NULL;
        if (end)
            text = end + 1;
        else if (leave.n < sizeof leave.bytes)
            leave.bytes[leave.n++] = *text++;
        else
            return;
    }
}

static void leave_prepare(void)
{
    static const char *const names[] = { "sgr0", "cnorm", "rmkx", "rmcup" };
    leave.n = 0;
    const char *mouse = tigetstr("kmous");
    if (mouse && mouse != (const char *)-1) leave_add("\033[?1000l\033[?1006l");
    for (size_t i = 0; i < KV_COUNT(names); i++) leave_add(tigetstr(names[i]));
    leave.fd = fileno(term.out);
}

static void on_crash(int n)
{
    signal(n, SIG_DFL);
    if (leave.fd >= 0 && write(leave.fd, leave.bytes, leave.n) >= 0) tcsetattr(leave.fd, TCSANOW, &leave.was);
    raise(n);
}

static void catch_signals(void)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGHUP, SIGQUIT };
    struct sigaction action = { .sa_handler = on_resize, .sa_flags = SA_RESTART };
    sigaction(SIGWINCH, &action, NULL);
    for (size_t i = 0; i < KV_COUNT(crashes); i++) signal(crashes[i], on_crash);
}

static void release_signals(void)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH };
    for (size_t i = 0; i < KV_COUNT(crashes); i++) signal(crashes[i], SIG_DFL);
}

/* --- colors ------------------------------------------------------------------------------------------------------- */

static int ground_color(int ground)
{
    return ground ? color_maps[(ground - 1) / COLOR_STEPS].ladder[(ground - 1) % COLOR_STEPS] : -1;
}

/* A text that reads on a ground of the ladder's steps. */
static int text_on(int ground)
{
    int map = (ground - 1) / COLOR_STEPS, step = (ground - 1) % COLOR_STEPS;
    return color_is_light(color_maps[map].rgb[step * 255 / (COLOR_STEPS - 1)]) ? 16 : 231;
}

static int pair_for(const struct screen_cell *c)
{
    bool shown = c->map && term.colors >= 256;
    int ground = shown ? 1 + (c->map - 1) * COLOR_STEPS + (int)color_step(c->value / 255.0, COLOR_STEPS) : 0;
    uint16_t *pair = &term.pair[c->role][ground];
    if (!term.colors || (c->role == COLOR_TEXT && !ground)) return 0;
    if (*pair || term.pairs >= PAIRS) return *pair;
    int text = ground               ? text_on(ground)
               : term.colors >= 256 ? color_roles[c->role].xterm
                                    : color_roles[c->role].ansi;
    if (init_extended_pair(++term.pairs, text, ground_color(ground)) == OK) *pair = (uint16_t)term.pairs;
    return *pair;
}

static attr_t attributes(const struct screen_cell *c)
{
    attr_t a = 0;
    if (c->attr & SCREEN_BOLD) a |= A_BOLD;
    if (c->attr & (SCREEN_DIM | SCREEN_STRUCK)) a |= A_DIM;
    if (c->attr & SCREEN_UNDERLINE) a |= A_UNDERLINE;
    if (c->attr & SCREEN_REVERSE) a |= A_REVERSE;
    return a;
}

static void show_cell(const struct screen_cell *c, int row, int col)
{
    wchar_t text[3] = { (wchar_t)c->code, (wchar_t)c->mark, 0 };
    cchar_t cell;
    int pair = pair_for(c);
    if (term.ascii && c->code > '~') {
        text[0] = c->code == 0xB7 ? ' ' : c->code == 0x21B5 ? '$' : c->code == 0x21E5 ? '>' : '?';
        text[1] = 0;
    }
    if (c->map && term.colors < 256 && !(c->attr & SCREEN_NUMBER))
        text[0] = (wchar_t)COLOR_RAMP[color_step(c->value / 255.0, sizeof COLOR_RAMP - 1)];
    if (setcchar(&cell, text, attributes(c), 0, &pair) == OK) mvadd_wch(row, col, &cell);
}

static void show(const struct screen *s)
{
    for (int r = 0; r < s->rows; r++)
        for (int c = 0; c < s->cols; c++) {
            const struct screen_cell *cell = &s->cell[(size_t)r * (size_t)s->cols + (size_t)c];
            if (cell->code)
                show_cell(cell, r, c);
            else if (term.ascii) /* the right half of a wide one that cannot be shown */
                mvaddch(r, c, ' ');
        }
    if (s->cursor_row >= 0) move(s->cursor_row, s->cursor_col);
    curs_set(s->cursor_row >= 0);
    refresh();
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static int key_of(int status, wint_t c)
{
    static const struct {
        int curses, key;
    } keys[] = { { KEY_UP, TUI_UP }, { KEY_DOWN, TUI_DOWN }, { KEY_LEFT, TUI_LEFT }, { KEY_RIGHT, TUI_RIGHT },
        { KEY_PPAGE, TUI_PAGE_UP }, { KEY_NPAGE, TUI_PAGE_DOWN }, { KEY_HOME, TUI_HOME }, { KEY_END, TUI_END },
        { KEY_DC, TUI_DELETE }, { KEY_BTAB, TUI_BACKTAB }, { KEY_BACKSPACE, TUI_BACKSPACE },
        { KEY_ENTER, TUI_ENTER }, { KEY_MOUSE, TUI_MOUSE } };
    if (status != KEY_CODE_YES) return c == '\n' ? TUI_ENTER : (int)c;
    for (size_t i = 0; i < KV_COUNT(keys); i++)
        if (keys[i].curses == (int)c) return keys[i].key;
    if ((int)c > KEY_F0 && (int)c <= KEY_F0 + 10) return TUI_F1 + (int)c - KEY_F0 - 1;
    return -1;
}

static void read_keys(struct tui *t)
{
    wint_t c;
    for (int status; (status = get_wch(&c)) != ERR && !t->leaving;) {
        int key = key_of(status, c);
        if (key == TUI_MOUSE) {
            MEVENT event;
            if (getmouse(&event) != OK) continue;
            t->click_row = event.y;
            t->click_col = event.x;
            if (event.bstate & BUTTON4_PRESSED) key = TUI_WHEEL_UP;
            if (event.bstate & BUTTON5_PRESSED) key = TUI_WHEEL_DOWN;
        }
        if (key == KEY_CTRL('z')) {
            raise(SIGTSTP); /* ncurses gives the terminal back and takes it again */
            key = KEY_CTRL('l');
        }
        if (key >= 0) tui_key_press(t, key);
    }
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static void drain(int fd)
{
    char bytes[256];
    while (read(fd, bytes, sizeof bytes) > 0) continue;
}

static void loop(struct tui *t)
{
    while (!t->leaving) {
        struct pollfd fds[] = { { fileno(term.in), POLLIN, 0 }, { t->worker.wake[0], POLLIN, 0 },
            { t->worker.errors[0], POLLIN, 0 } };
        if (t->dirty) {
            tui_draw(t);
            if (t->redraw) clearok(stdscr, TRUE);
            t->redraw = false;
            show(&t->screen);
        }
        if (poll(fds, 3, -1) < 0 && errno != EINTR) break;
        if (fds[0].revents & (POLLHUP | POLLERR)) break;
        drain(t->worker.wake[0]);
        worker_take_errors(&t->worker);
        if (resized) {
            struct winsize size;
            resized = 0;
            if (!ioctl(fileno(term.out), TIOCGWINSZ, &size) && size.ws_row && size.ws_col) {
                resizeterm(size.ws_row, size.ws_col);
                t->redraw = true;
                tui_resize(t, size.ws_row, size.ws_col);
            }
        }
        read_keys(t);
        tui_refresh(t);
    }
}

static FILE *own_file(int fd, const char *mode)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    FILE *f = copy < 0 ? NULL : fdopen(copy, mode);
    if (!f && copy >= 0) close(copy);
    return f;
}

static void terminal_close(void)
{
    leave.fd = -1;
    if (term.screen) endwin();
    if (term.screen) delscreen(term.screen);
    if (term.in) fclose(term.in);
    if (term.out) fclose(term.out);
    term = (struct terminal){ 0 };
}

static enum kv_status terminal_open(struct kv_error *err)
{
    const char *name = getenv("TERM"), *none = getenv("NO_COLOR");
    term = (struct terminal){ .ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0 };
    if (!name || !*name || !strcmp(name, "dumb"))
        return kv_fail(err, KV_UNSUPPORTED, "This terminal (TERM=%s) cannot show a screen; here is the prompt.",
            name && *name ? name : "");
    term.in = own_file(0, "r");
    term.out = own_file(1, "w");
    if (!term.in || !term.out || tcgetattr(fileno(term.out), &leave.was)) {
        terminal_close();
        return kv_fail(
            err, KV_UNSUPPORTED, "The terminal cannot be opened: %s; here is the prompt.", strerror(errno));
    }
    char shown[64]; /* setenv frees the name */
    snprintf(shown, sizeof shown, "%s", name);
    if (!(term.screen = newterm(NULL, term.out, term.in))) {
        terminal_close();
        setenv("TERM", "dumb", 1); /* or the prompt's editor says the same again */
        return kv_fail(
            err, KV_UNSUPPORTED, "There is no description of the terminal \"%s\"; here is the prompt.", shown);
    }
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    mousemask(BUTTON1_PRESSED | BUTTON1_CLICKED | BUTTON4_PRESSED | BUTTON5_PRESSED, NULL);
    mouseinterval(0);
    if (has_colors() && !(none && *none)) {
        start_color();
        use_default_colors();
        term.colors = COLORS >= 256 ? 256 : COLORS >= 8 ? 8 : 0;
    }
    leave_prepare();
    return KV_OK;
}

enum kv_status tui_main(struct session *s, int *exit_status)
{
    static struct tui tui;
    struct kv_error err = { 0 };
    if (terminal_open(&err)) return s->err = err, err.code;
    catch_signals();
    enum kv_status st = tui_open(&tui, s, true, &err);
    tui.look.ascii = term.ascii;
    tui.look.color = term.colors >= 256;
    if (!st) {
        tui_resize(&tui, LINES, COLS);
        loop(&tui);
        if (!tui.leaving) s->leaving = true; /* the terminal is gone */
        tui_close(&tui);
    }
    terminal_close();
    release_signals();
    session_catch_signals(s);
    if (st) s->err = err;
    *exit_status = s->exit_code;
    return st;
}
