#include "tui/jobs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tui/actions.h"
#include "tui/convert.h"
#include "tui/format.h"
#include "tui/graph.h"
#include "tui/panels.h"
#include "tui/wrap.h"

#define LONG_SECONDS 10

// ---- the list -----------------------------------------------------------------------------------------------------

// An export that nobody asked for, and what is made only while it is looked at, are no jobs.
static bool is_listed(const Ui *ui, JobKind kind) {
    ExportView view;
    JobView job;
    workbench_export_view(ui->workbench, &view);
    workbench_job(ui->workbench, kind, &job);
    return kind == JOB_EXPORT ? view.asked : (kind != JOB_FORECAST && kind != JOB_SPEEDS) || job.state != JOB_DONE;
}

static int listed(const Ui *ui, JobKind *kinds) {
    int count = 0;
    for (int kind = 0; kind < JOB_COUNT; kind++) {
        if (is_listed(ui, (JobKind)kind)) kinds[count++] = (JobKind)kind;
    }
    return count;
}

Short jobs_put_off_text(const JobView *job) {
    Short out;
    if (isfinite(job->put_off))
        snprintf(out.text, sizeof out.text, "about %.30s", format_seconds(job->put_off).text);
    else
        snprintf(out.text, sizeof out.text, "long");
    return out;
}

static void state_text(const JobView *job, char *out, size_t size) {
    static const char *const words[] = {[JOB_WAITING] = "waits",
                                        [JOB_RUNNING] = "",
                                        [JOB_DONE] = "done",
                                        [JOB_STOPPED] = "stopped",
                                        [JOB_FAILED] = "failed"};
    if (job->put_off > 0)
        snprintf(out, size, "not asked for: %s", jobs_put_off_text(job).text);
    else if (job->state == JOB_DONE && job->seconds >= 0.5)
        snprintf(out, size, "done, %s the last time", format_seconds(job->seconds).text);
    else
        snprintf(out, size, "%s", words[job->state]);
}

#define NAME_COLS 20
#define BAR_COLS 16

static void draw_progress(Ui *ui, Rect line, const JobView *job) {
    char text[96] = "", left[64] = "";
    if (job->share >= 0) {
        canvas_fill(&ui->canvas, (Rect){line.row, line.col, 1, BAR_COLS}, MEANING_TRACK, "─");
        graph_bar(&ui->canvas, line.row, line.col, BAR_COLS, job->share, MEANING_ACCENT);
        snprintf(text, sizeof text, "%3.0f %%", job->share * 100);
    }
    if (job->seconds_left >= 0 && job->seconds > 0.5)
        snprintf(left, sizeof left, "   %s left", format_seconds(job->seconds_left).text);
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s", left);
    canvas_fit(&ui->canvas, line.row, line.col + BAR_COLS + 1, line.cols - BAR_COLS - 1, MEANING_VALUE, text);
}

static void draw_job(Ui *ui, Rect line, const JobView *job, bool chosen) {
    Canvas *canvas = &ui->canvas;
    const Style style = job->state == JOB_FAILED    ? MEANING_ERROR
                        : job->state == JOB_STOPPED ? MEANING_CHANGED
                                                    : MEANING_FAINT;
    canvas_text(canvas, line.row, line.col, 2, MEANING_ACCENT,
                chosen                      ? "▸"
                : job->state == JOB_RUNNING ? ui_spinner(ui)
                                            : " ");
    canvas_fit(canvas, line.row, line.col + 2, NAME_COLS - 2, job->state == JOB_RUNNING ? MEANING_TITLE : MEANING_TEXT,
               job_doing(job->kind));
    char state[64];
    state_text(job, state, sizeof state);
    const Rect rest = {line.row, line.col + NAME_COLS, 1, line.cols - NAME_COLS};
    if (job->state == JOB_RUNNING)
        draw_progress(ui, rest, job);
    else
        canvas_fit(canvas, rest.row, rest.col, rest.cols, style, state);
    if (chosen) canvas_restyle(canvas, line, STYLE_SELECTED);
}

#define COLS 72
#define MESSAGE_ROWS 2

void jobs_draw(Ui *ui) {
    JobKind kinds[JOB_COUNT];
    const int count = listed(ui, kinds);
    const Rect inside =
        panel_overlay_draw(ui, count + MESSAGE_ROWS, COLS, " Jobs ", " x stop, go on  ! all of them  Esc closes ");
    if (ui->jobs.at >= count) ui->jobs.at = count - 1;
    for (int i = 0; i < count; i++) {
        JobView job;
        workbench_job(ui->workbench, kinds[i], &job);
        const Rect line = {inside.row + i, inside.col + 1, 1, COLS - 2};
        draw_job(ui, line, &job, i == ui->jobs.at);
        ui_hit(ui, line, HIT_JOB, i);
        if (i != ui->jobs.at || job.state != JOB_FAILED) continue;
        char message[sizeof job.message];
        convert_words(job.message, message, sizeof message);
        const WrapPiece piece = {message, SIZE_MAX, MEANING_ERROR};
        wrap_draw(&ui->canvas, (Rect){inside.row + count, inside.col + 1, MESSAGE_ROWS, COLS - 3}, &piece, 1, 0);
    }
}

// ---- its keys -----------------------------------------------------------------------------------------------------

void jobs_show(Ui *ui, int unused) {
    (void)unused;
    JobKind kinds[JOB_COUNT];
    const int count = listed(ui, kinds);
    ui->jobs.shown = true;
    for (int i = count - 1; i >= 0; i--) { // the first that runs
        JobView job;
        workbench_job(ui->workbench, kinds[i], &job);
        if (job.state == JOB_RUNNING) ui->jobs.at = i;
    }
}

static void stop_or_go_on(Ui *ui, JobKind kind) {
    JobView job;
    workbench_job(ui->workbench, kind, &job);
    if (job_is_on(job.state))
        workbench_stop_job(ui->workbench, kind);
    else if (kind == JOB_EXPORT && job.state != JOB_DONE)
        convert_go_on(ui);
    else if (job.state == JOB_STOPPED || job.state == JOB_FAILED)
        workbench_resume_job(ui->workbench, kind);
}

static void jobs_click(Ui *ui, const Key *key) {
    if (key->action != MOUSE_PRESS) return;
    const Hit *hit = ui_hit_at(ui, key->row, key->col);
    ui->jobs.shown = hit && hit->kind == HIT_JOB;
    if (ui->jobs.shown) ui->jobs.at = hit->value;
}

void jobs_key(Ui *ui, const Key *key) {
    JobKind kinds[JOB_COUNT];
    const int count = listed(ui, kinds);
    switch (key->code) {
    case KEY_ARROW_UP:
    case 'k': ui->jobs.at -= ui->jobs.at > 0; break;
    case KEY_ARROW_DOWN:
    case 'j': ui->jobs.at += ui->jobs.at + 1 < count; break;
    case 'x':
    case ' ':
    case KEY_RETURN:
        if (ui->jobs.at >= 0 && ui->jobs.at < count) stop_or_go_on(ui, kinds[ui->jobs.at]);
        break;
    case '!': action_stop_jobs(ui, 0); break;
    case KEY_MOUSE_EVENT: jobs_click(ui, key); break;
    case KEY_ESCAPE:
    case 'q':
    case 'J':
    case KEY_CONTROL('c'): ui->jobs.shown = false; break;
    default: break;
    }
}

// ---- what is told elsewhere ---------------------------------------------------------------------------------------

// A job that steps back for another one waits, and has not ended. What a new turn asks for begins anew.
bool jobs_watch(Ui *ui, double now) {
    JobsView *watch = &ui->jobs;
    bool ended = false;
    for (int kind = 0; kind < JOB_COUNT; kind++) {
        JobView job;
        workbench_job(ui->workbench, (JobKind)kind, &job);
        const bool new_turn =
            watch->turn != workbench_turn(ui->workbench) && kind >= JOB_QUANTIZE && kind < JOB_FIGURES_END;
        if (job.state == JOB_RUNNING && (!watch->since[kind] || new_turn)) watch->since[kind] = now;
        if (job.state != JOB_DONE && job.state != JOB_FAILED && job.state != JOB_STOPPED) continue;
        ended =
            ended || (watch->since[kind] > 0 && now - watch->since[kind] >= LONG_SECONDS && job.state != JOB_STOPPED);
        watch->since[kind] = 0;
    }
    watch->turn = workbench_turn(ui->workbench);
    return ended;
}

void jobs_rest_text(const Ui *ui, JobKind stopped, char *out, size_t size) {
    const JobKind next = workbench_next_study(ui->workbench, stopped);
    *out = '\0';
    if (next != JOB_COUNT) snprintf(out, size, "; meanwhile: %s", job_doing(next));
}

void jobs_measure(Ui *ui, JobKind study) {
    JobView job;
    workbench_job(ui->workbench, study, &job);
    if (job_is_on(job.state))
        ui_say(ui, "%s: it is on its way; x stops it", job_doing(study));
    else if (job.state == JOB_STOPPED)
        workbench_resume_study(ui->workbench, study);
    else
        ui_say(ui, "everything is measured");
}

#define TITLE_SECONDS 0.25 // jobs that come and go with a key would make it flicker, and be written each time

void jobs_title(const Ui *ui, char *out, size_t size) {
    char doing[64] = "";
    for (int kind = JOB_COUNT - 1; kind >= 0; kind--) { // the first that runs
        JobView job;
        workbench_job(ui->workbench, (JobKind)kind, &job);
        if (job.state != JOB_RUNNING || job.seconds < TITLE_SECONDS) continue;
        if (job.share >= 0)
            snprintf(doing, sizeof doing, "%.0f %% %s - ", floor(job.share * 20) * 5, job_doing(job.kind));
        else
            snprintf(doing, sizeof doing, "%s - ", job_doing(job.kind));
    }
    snprintf(out, size, "%s%s - quantdial", doing, panel_model_name(workbench_structure(ui->workbench)));
}
