/* The screen on a terminal, by ncurses. */
#define NCURSES_WIDECHAR 1
#include <curses.h>
#undef KEY_F1
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "inspector/tui/state.h"
#include "inspector/tui/tui.h"

#define PAIRS 8192 /* of text role and ground, given out as they come up */

#define GROUNDS     256 /* values of a map; a ladder has fewer steps */
#define TRUE_COLORS (1 << 24)

struct terminal {
    SCREEN *screen;
    FILE *in, *out; /* the terminal by files of its own, so that what is printed meanwhile can be caught */
    bool ascii;     /* it is not to get a character beyond ASCII */
    int colors;     /* 0, 8, 256, 1 << 24 */
    uint16_t pair[COLOR_ROLES][1 + COLOR_MAPS * GROUNDS];
    int pairs;
};

static struct terminal term;

/* --- restoring, whatever happens ---------------------------------------------------------------------------------- */

static atomic_bool resized; /* atomic, for any thread may get the signal */

static atomic_bool suspended; /* SIGTSTP: ncurses's own handler would redraw in the middle of whatever goes on */

static void on_resize(int n)
{
    (void)n;
    resized = true;
}

static void on_suspend(int n)
{
    (void)n;
    suspended = true;
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

/* A stack that has run over cannot hold the handler that says so. */
static char crash_stack[1 << 16];

static void catch_signals(void)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGHUP, SIGQUIT };
    struct sigaction action = { .sa_handler = on_resize, .sa_flags = SA_RESTART };
    struct sigaction crash = { .sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_NODEFER };
    const stack_t stack = { .ss_sp = crash_stack, .ss_size = sizeof crash_stack };
    sigaltstack(&stack, NULL);
    struct sigaction suspend = { .sa_handler = on_suspend };
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGTSTP, &suspend, NULL);
    for (size_t i = 0; i < KV_COUNT(crashes); i++) sigaction(crashes[i], &crash, NULL);
}

static void release_signals(void)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH,
        SIGTSTP };
    for (size_t i = 0; i < KV_COUNT(crashes); i++) signal(crashes[i], SIG_DFL);
}

/* --- colors ------------------------------------------------------------------------------------------------------- */

/* A ground is 0 for none, or 1 + its place among all values of all maps. */
static const struct color_map *map_of(int ground, int *value)
{
    *value = (ground - 1) % GROUNDS;
    return &color_maps[(ground - 1) / GROUNDS];
}

static size_t step_of(int value) { return color_step(value / 255.0, COLOR_STEPS); }

/* Where colors are direct, the first eight numbers are still the palette's. */
static int direct(uint32_t rgb) { return rgb < 8 ? 8 : (int)rgb; }

static int ground_color(int ground)
{
    int value;
    if (!ground) return -1;
    const struct color_map *map = map_of(ground, &value);
    return term.colors == TRUE_COLORS ? direct(map->rgb[value]) : map->ladder[step_of(value)];
}

/* A text that reads on a ground. */
static int text_on(int ground)
{
    int value;
    const struct color_map *map = map_of(ground, &value);
    if (term.colors == TRUE_COLORS) return direct(color_is_light(map->rgb[value]) ? 0x000000 : 0xffffff);
    return color_is_light(map->rgb[step_of(value) * 255 / (COLOR_STEPS - 1)]) ? 16 : 231;
}

static int text_color(int role)
{
    if (term.colors == TRUE_COLORS) return direct(color_xterm(color_roles[role].xterm));
    return term.colors >= 256 ? color_roles[role].xterm : color_roles[role].ansi;
}

static int pair_for(const struct screen_cell *c)
{
    bool shown = c->map && term.colors >= 256;
    int value = term.colors == TRUE_COLORS ? c->value : (int)(step_of(c->value) * 255 / (COLOR_STEPS - 1));
    int ground = shown ? 1 + (c->map - 1) * GROUNDS + value : 0;
    uint16_t *pair = &term.pair[c->role][ground];
    if (!term.colors || (c->role == COLOR_TEXT && !ground)) return 0;
    if (*pair || term.pairs >= PAIRS) return *pair;
    int text = ground ? text_on(ground) : text_color(c->role);
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
            suspended = true;
            continue;
        }
        if (key >= 0) tui_key_press(t, key);
    }
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

static FILE *own_file(int fd, const char *mode)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    FILE *f = copy < 0 ? NULL : fdopen(copy, mode);
    if (!f && copy >= 0) close(copy);
    return f;
}

static void screen_close(void)
{
    leave.fd = -1;
    if (term.screen) endwin();
    if (term.screen) delscreen(term.screen);
    term.screen = NULL;
}

static void terminal_close(void)
{
    screen_close();
    if (term.in) fclose(term.in);
    if (term.out) fclose(term.out);
    term = (struct terminal){ 0 };
}

/* Whether there is a description of a terminal. */
static bool described(const char *name)
{
    int found;
    bool is = setupterm(name, fileno(term.out), &found) == OK;
    if (is) del_curterm(cur_term);
    return is;
}

/* The description with direct colors that goes with a terminal: "tmux-direct" with tmux-256color; "" = there is none. */
static void direct_name(const char *name, char *out, size_t size)
{
    snprintf(out, size, "%.*s-direct", (int)strcspn(name, "-"), name);
    if (!described(out)) snprintf(out, size, "xterm-direct");
    if (!described(out)) *out = '\0';
}

static int colors_shown(enum screen_color want)
{
    const char *none = getenv("NO_COLOR");
    if (want == SCREEN_COLOR_NONE || (want == SCREEN_COLOR_AUTO && none && *none) || !has_colors()) return 0;
    start_color();
    use_default_colors();
    if (want == SCREEN_COLOR_TRUE && COLORS >= TRUE_COLORS) return TRUE_COLORS;
    if (want == SCREEN_COLOR_8) return COLORS >= 8 ? 8 : 0;
    return COLORS >= 256 ? 256 : COLORS >= 8 ? 8 : 0;
}

/* Takes the screen as the terminal `name` and with the colors that are wanted; false = it is not described. */
static bool screen_open(const char *name, enum screen_color want)
{
    char described_as[80] = "";
    if (want == SCREEN_COLOR_TRUE) direct_name(name, described_as, sizeof described_as);
    term.screen = newterm(*described_as ? described_as : NULL, term.out, term.in);
    if (!term.screen) return false;
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    mousemask(BUTTON1_PRESSED | BUTTON1_CLICKED | BUTTON4_PRESSED | BUTTON5_PRESSED, NULL);
    mouseinterval(0);
    memset(term.pair, 0, sizeof term.pair);
    term.pairs = 0;
    term.colors = colors_shown(want);
    leave_prepare();
    return true;
}

static void look_at_colors(struct tui *t)
{
    t->look.color = term.colors >= 256;
    if (t->s->pref.color == SCREEN_COLOR_TRUE && term.colors < TRUE_COLORS)
        tui_say(
            t, "No description of a terminal with direct colors (Debian: ncurses-term): %d colors.", term.colors);
}

static void recolor(struct tui *t)
{
    const char *name = getenv("TERM");
    t->recolor = false;
    screen_close();
    if (!screen_open(name, (enum screen_color)t->s->pref.color)) screen_open(name, SCREEN_COLOR_AUTO);
    look_at_colors(t);
    t->redraw = t->dirty = true;
}

static enum kv_status terminal_open(enum screen_color want, struct kv_error *err)
{
    const char *name = getenv("TERM");
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
    if (screen_open(name, want)) return KV_OK;
    terminal_close();
    setenv("TERM", "dumb", 1); /* or the prompt's editor says the same again */
    return kv_fail(
        err, KV_UNSUPPORTED, "There is no description of the terminal \"%s\"; here is the prompt.", shown);
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static void drain(int fd)
{
    char bytes[256];
    while (read(fd, bytes, sizeof bytes) > 0) continue;
}

/* Gives the terminal back, stops, and takes it again when told to go on. */
static void suspend(struct tui *t)
{
    suspended = false;
    endwin();
    signal(SIGTSTP, SIG_DFL);
    raise(SIGTSTP);
    signal(SIGTSTP, on_suspend);
    refresh();
    resized = true; /* the window may have changed meanwhile */
    t->redraw = t->dirty = true;
}

static void loop(struct tui *t)
{
    while (!t->leaving) {
        if (suspended) suspend(t);
        struct pollfd fds[] = { { fileno(term.in), POLLIN, 0 }, { t->worker.wake[0], POLLIN, 0 },
            { t->worker.errors[0], POLLIN, 0 } };
        if (t->recolor) recolor(t);
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
        if (atomic_exchange(&resized, false)) {
            struct winsize size;
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

enum kv_status tui_main(struct session *s, int *exit_status)
{
    static struct tui tui;
    struct kv_error err = { 0 };
    if (terminal_open((enum screen_color)s->pref.color, &err)) return s->err = err, err.code;
    catch_signals();
    enum kv_status st = tui_open(&tui, s, true, &err);
    tui.look.ascii = term.ascii;
    if (!st) {
        look_at_colors(&tui);
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
