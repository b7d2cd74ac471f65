// quantdial: see what quantization does to a language model, and turn its dials.
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/cache_write.h"
#include "base/array.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/cli.h"

static volatile sig_atomic_t reader_gone;

static void on_closed_pipe(int number) { reader_gone = number; }

// The parent process may have closed these. The next file opened would then take the number of one, and what is meant
// for the terminal would go into it. Reading from stdin and writing to stdout still fail.
static void keep_standard_files(void) {
    static const int ways[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", ways[fd]);
    }
}

// Names and texts of others may stand in it: no control characters, and one line whatever they hold.
static int main_failed(const Error *err, int status) {
    char *shown = text_printable(err->message, strlen(err->message), !output_is_utf8());
    fprintf(stderr, "quantdial: %s\n", shown ? shown : err->message);
    free(shown);
    return status;
}

// A reader that stops early (quantdial inspect | head) is not a failure.
static int main_finish(Error *err) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
    if (reader_gone) return 0;
    error_set(err, "the output could not be written completely%s%s", errno ? ": " : "", errno ? strerror(errno) : "");
    return main_failed(err, 1);
}

// Whether figures are kept one by one while this goes on; before, what is measured is kept when it is complete.
static bool keeps_figures(const Command *command, const char *work) {
    static const char *const before[] = {"measuring weights", "calibrating", "measuring errors"};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        if (strcmp(work, before[i]) == 0) return false;
    }
    return command->takes & KEEPS;
}

// Work that goes on in the middle, because what is done of it is on the disk.
static bool goes_on(const char *work) {
    return strcmp(work, "calibrating") == 0 || strcmp(work, EXPORT_WORK) == 0 || strcmp(work, TRANSLATION_WORK) == 0;
}

// Tells where the same command will go on.
static int main_stopped(const Command *command, const Options *options, Error *err) {
    const char *work = watch_work();
    Error why;
    if (cache_refused(&why)) {
        error_set(err, "stopped; what could not be kept will be made anew: %s", why.message);
        return main_failed(err, 128 + watch_signal());
    }
    char *cache = folder_cache();
    const bool in_folder = work && strcmp(work, EXPORT_WORK) == 0; // and not in the cache
    bool keeps = work && cache && access(cache, W_OK) == 0 && !options->model.no_cache && command->takes & TAKES_MODEL;
    free(cache);
    if (!keeps && !in_folder)
        error_set(err, "stopped; nothing was kept for another run");
    else if (keeps_figures(command, work))
        error_set(err, "stopped; run the same command again to continue");
    else
        error_set(err, "stopped while %s; run the same command again to %s", work,
                  goes_on(work) ? "go on there" : "start that step over");
    return main_failed(err, 128 + watch_signal());
}

static void warn_unkept(const Error *refused) {
    Error why = *refused;
    error_prefix(&why, "measurements are not kept (--no-cache silences this)");
    if (isatty(STDERR_FILENO)) fprintf(stderr, "\r\033[K"); // in place of the bar
    main_failed(&why, 0);
}

// The screen has its own way to say it, and stderr is under it until it ends.
static void warn_unkept_after(const Options *options) {
    Error why;
    if (!options->quiet && cache_refused(&why)) warn_unkept(&why);
}

// The longest help in one piece: why it could not be written is only known of the last one.
#define OUTPUT_ROOM ((size_t)1 << 16)

int main(int argc, char **argv) {
    keep_standard_files();
    static char room[OUTPUT_ROOM]; // until the program has ended
    if (!isatty(STDOUT_FILENO)) setvbuf(stdout, room, _IOFBF, sizeof room);
    backend_cpu_shorten_spin(argv);
    Options options;
    const Command *command;
    Error err = {0};
    setlocale(LC_CTYPE, ""); // numbers keep the decimal point: they are read by programs, too
    signal(SIGPIPE, on_closed_pipe);
    signal(SIGXFSZ, SIG_IGN); // a limit on files (ulimit -f) is an error of writing, which names the file
    switch (options_parse(argc, argv, &options, &command, &err)) {
    case OPTIONS_DONE: return main_finish(&err);
    case OPTIONS_WRONG: return main_failed(&err, 2);
    case OPTIONS_RUN: break;
    }
    log_line("version %s, %s", QUANTDIAL_VERSION, command->name[0] ? command->name : "the screen");
    const bool screen = !command->name[0];
    if (!screen && !options.quiet) cache_tell(warn_unkept);
    bool ok = options_try_files(&options, command, &err) && command->run(&options, &err);
    watch_end();
    log_line("ends: %s", ok ? "done" : err.message);
    const bool stopped = !ok && err.stopped && watch_signal();
    if (screen && !stopped) warn_unkept_after(&options);
    if (ok) return main_finish(&err);
    return stopped ? main_stopped(command, &options, &err) : main_failed(&err, 1);
}
