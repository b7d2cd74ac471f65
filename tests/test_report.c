// The page of `quantdial report`: well-formed, complete, and with nothing that has to be fetched.
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/markup.h"
#include "tests/support/in_folder.h"
#include "tests/support/program.h"
#include "tests/support/small_sample.h"
#include "tests/support/texts.h"

enum { LINEARS = 15 }; // of the small sample

// ---- well-formed --------------------------------------------------------------------------------------------------

#define DEPTH_MOST 64
typedef struct Elements {
    char open[DEPTH_MOST][16];
    int depth;
} Elements;

static bool is_void(const char *name) { return strcmp(name, "meta") == 0; }

// One tag, behind its "<"; returns what follows its ">".
static const char *take_tag(Elements *e, const char *at) {
    const bool closes = *at == '/';
    char name[16];
    size_t length = 0;
    for (at += closes; isalnum((unsigned char)*at); at++) {
        assert_true(length + 1 < sizeof name);
        name[length++] = *at;
    }
    name[length] = '\0';
    assert_true(length > 0);
    bool quoted = false;
    for (; *at && (quoted || *at != '>'); at++) {
        quoted ^= *at == '"';
        if (!quoted && *at == '<') fail_msg("<%s is not closed", name);
    }
    assert_true(*at == '>');
    if (closes) {
        assert_true(e->depth > 0);
        if (strcmp(e->open[--e->depth], name) != 0) fail_msg("</%s> closes <%s>", name, e->open[e->depth]);
    } else if (!is_void(name) && at[-1] != '/') {
        assert_true(e->depth < DEPTH_MOST);
        snprintf(e->open[e->depth++], sizeof e->open[0], "%s", name);
        // What stands in a style or a script is no markup.
        if (strcmp(name, "style") == 0 || strcmp(name, "script") == 0) {
            char end[24];
            snprintf(end, sizeof end, "</%s>", name);
            at = strstr(at, end);
            assert_non_null(at);
            return at;
        }
    }
    return at + 1;
}

static void assert_well_formed(const char *page) {
    static const char doctype[] = "<!DOCTYPE html>\n";
    Elements e = {.depth = 0};
    assert_memory_equal(page, doctype, strlen(doctype));
    for (const char *at = page + strlen(doctype); *at;) {
        if (*at == '<')
            at = take_tag(&e, at + 1);
        else if (*at++ == '&')
            assert_true(strncmp(at, "amp;", 4) == 0 || strncmp(at, "lt;", 3) == 0 || strncmp(at, "gt;", 3) == 0 ||
                        strncmp(at, "quot;", 5) == 0 || strncmp(at, "#39;", 4) == 0);
    }
    if (e.depth) fail_msg("<%s> stays open", e.open[e.depth - 1]);
}

// ---- the page -----------------------------------------------------------------------------------------------------

// The small sample under a name that is no good for markup.
static const char *hostile_model(void) {
    static char link[4200];
    snprintf(link, sizeof link, "%s/<b onclick=\"x\">&\xC3\xA9\xFF", folder);
    char *sample = path_join(getenv("QUANTDIAL_SAMPLES"), "storyteller");
    assert_int_equal(symlink(sample, link), 0);
    free(sample);
    return link;
}

static void read_page(const char *recipe, Ran *ran, char **page) {
    static char path[4200];
    size_t size;
    Error err = {0};
    snprintf(path, sizeof path, "%s/report.html", folder);
    *ran = RUN("report", hostile_model(), "--recipe", recipe, "-o", path, "--tokens", "400", "--calibration-tokens",
               "512", "--threads", "1", "--prompt", "One <i>day</i> & night");
    if (ran->status) fail_msg("%s", ran->err);
    assert_contains(ran->out, path);
    if (!file_read(path, 16 << 20, page, &size, &err)) fail_msg("%s", err.message);
    assert_int_equal(strlen(*page), size);
    assert_true(text_is_utf8(*page, size));
}

static void a_page_has_everything_and_needs_nothing(void **state) {
    (void)state;
    static const char recipe[] = "{\"quantdial_recipe\": 1, \"weights\": {\"bits\": 3, \"granularity\": \"channel\"}}";
    char path[4200];
    Error err = {0};
    Ran ran;
    snprintf(path, sizeof path, "%s/recipe.json", folder);
    assert_true(file_write(path, recipe, strlen(recipe), &err));
    char *page = NULL;
    read_page(path, &ran, &page);
    assert_well_formed(page);
    static const char *const outside[] = {
        "http:", "https:", "src=", "href=", "@import", "url(", "onclick=\"x\"", "<i>day"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        if (strstr(page, outside[i])) fail_msg("\"%s\" is there", outside[i]);
    }
    assert_contains(page, "<h1>&lt;b onclick=&quot;x&quot;&gt;&amp;\xC3\xA9\uFFFD, quantized</h1>");
    assert_contains(page, "One &lt;i&gt;day&lt;/i&gt; &amp; night");
    assert_contains(page, "prefers-color-scheme:dark");
    assert_contains(page, "&quot;bits&quot;: 3"); // the recipe
    assert_int_equal(count_of(page, "<article>"), 6);
    assert_int_equal(count_of(page, "Error: "), 6);
    assert_int_equal(count_of(page, "<svg"), 3 + 2 * 6); // maps; two histograms of each
    const char *table = strstr(page, "<h2>All linears</h2>");
    assert_non_null(table);
    assert_int_equal(count_of(table, "<tr><td>model.layers.") + count_of(table, "<tr><td>lm_head"), LINEARS);
    assert_int_equal(count_of(page, "<title>model.layers.1.mlp.down_proj: "), 3); // in each map
    assert_int_equal(count_of(page, "<mark>"), 2);                                // three bits tell another story
    free(page);
    ran_free(&ran);
}

// What the page says is what eval says.
static void figures_are_those_of_eval(void **state) {
    (void)state;
    char path[4200], expected[64];
    snprintf(path, sizeof path, "%s/page.html", folder);
    Ran ran = RUN("report", "-o", path, "--tokens", "64", "--calibration-tokens", "512", "--threads", "1", "--quiet"),
        eval = RUN("eval", "--tokens", "64", "--calibration-tokens", "512", "--threads", "1", "--quiet");
    assert_true(ran.status == 0 && eval.status == 0);
    char *page;
    size_t size;
    assert_true(file_read(path, 16 << 20, &page, &size, NULL));
    double mean = 0, se = 0;
    const char *kl = strstr(eval.out, "KL            mean ");
    assert_true(kl && sscanf(kl, "KL mean %lf +- %lf", &mean, &se) == 2);
    snprintf(expected, sizeof expected, "<td>%.5f ±%.5f</td>", mean, se);
    assert_contains(page, expected);
    assert_contains(page, "too few tokens"); // 64
    free(page);
    ran_free(&ran);
    ran_free(&eval);
}

static void what_cannot_be_written_is_told_at_once(void **state) {
    (void)state;
    Ran ran = RUN("report");
    assert_int_equal(ran.status, 2);
    assert_contains(ran.err, "-o report.html");
    ran_free(&ran);
    ran = RUN("report", "-o", nowhere());
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "--output");
    ran_free(&ran);
}

static void markup_is_escaped(void **state) {
    (void)state;
    Text text = {0};
    markup_add(&text, "a<b>&\"'\n\t\x01\x7F\0é\xC2\x85\xFFz", 18);
    assert_string_equal(text.data, "a&lt;b&gt;&amp;&quot;&#39;\n\t\uFFFD\uFFFD\uFFFDé\uFFFD\uFFFDz");
    text_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_page_has_everything_and_needs_nothing),
        IN_FOLDER(figures_are_those_of_eval),
        IN_FOLDER(what_cannot_be_written_is_told_at_once),
        cmocka_unit_test(markup_is_escaped),
    };
    return cmocka_run_group_tests(tests, small_sample_make, small_sample_drop);
}
