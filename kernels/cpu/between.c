// What layers of other families than Llama's do between linears.
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

// ---- Norm ----

void cpu_layer_norm(Backend *backend, const float *x, const float *gain, const float *bias, size_t gains, float eps,
                    size_t tokens, size_t width, float *y) {
    const CpuBackend *cpu = cpu_of(backend);
#pragma omp parallel for schedule(static) num_threads(tokens > 1 ? cpu_threads_for(cpu, 0, 4 * tokens * width) : 1)
    for (size_t t = 0; t < tokens; t++)
        cpu->kernels->layer_norm_row(x + t * width, gain + t % gains * width, bias + t % gains * width, eps, width,
                                     y + t * width);
}

// ---- Element by element ----

enum { CHUNK = 4096 }; // elements that a thread takes at a time

void cpu_activate(Backend *backend, Nonlinearity f, const float *x, const float *up, size_t n, float *y) {
    const CpuBackend *cpu = cpu_of(backend);
#pragma omp parallel for schedule(static) num_threads(cpu_threads_for(cpu, 0, 20 * n))
    for (size_t i = 0; i < n; i += CHUNK)
        cpu->kernels->activate(f, x + i, up ? up + i : NULL, n - i < CHUNK ? n - i : CHUNK, y + i);
}

void cpu_xielu(Backend *backend, const Xielu *f, const float *x, size_t n, float *y) {
    const CpuBackend *cpu = cpu_of(backend);
#pragma omp parallel for schedule(static) num_threads(cpu_threads_for(cpu, 0, 20 * n))
    for (size_t i = 0; i < n; i += CHUNK) cpu->kernels->xielu(f, x + i, n - i < CHUNK ? n - i : CHUNK, y + i);
}

void cpu_scale(Backend *backend, float *x, float factor, size_t n) {
    (void)backend;
    if (factor == 0) memset(x, 0, n * sizeof *x);
    for (size_t i = 0; factor != 0 && i < n; i++) x[i] *= factor;
}

void cpu_softcap(Backend *backend, float *x, float cap, size_t n) {
    const CpuBackend *cpu = cpu_of(backend);
#pragma omp parallel for schedule(static) num_threads(cpu_threads_for(cpu, 0, 20 * n))
    for (size_t i = 0; i < n; i++) x[i] = cap * tanhf(x[i] / cap);
}

void cpu_clamp(Backend *backend, float *x, float limit, size_t n) {
    (void)backend;
    for (size_t i = 0; i < n; i++) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

// ---- Rows ----

void cpu_split(Backend *backend, const float *x, size_t tokens, size_t groups, const size_t *widths, int parts,
               float *const *y) {
    (void)backend;
    size_t width = 0, from = 0;
    for (int p = 0; p < parts; p++) width += widths[p];
    for (int p = 0; p < parts; from += widths[p++])
        for (size_t g = 0; y[p] && g < tokens * groups; g++)
            memcpy(y[p] + g * widths[p], x + g * width + from, widths[p] * sizeof *x);
}

void cpu_join(Backend *backend, const float *const *x, size_t tokens, size_t groups, const size_t *widths,
              const bool *common, int parts, float *y) {
    (void)backend;
    size_t width = 0, to = 0;
    for (int p = 0; p < parts; p++) width += widths[p];
    for (int p = 0; p < parts; to += widths[p++]) {
        const size_t rows_of_one = common[p] ? groups : 1;
        for (size_t g = 0; g < tokens * groups; g++) {
            float *place = y + g * width + to;
            if (x[p])
                memcpy(place, x[p] + g / rows_of_one * widths[p], widths[p] * sizeof *y);
            else
                memset(place, 0, widths[p] * sizeof *y);
        }
    }
}

void cpu_gather(Backend *backend, const float *x, size_t width, const int32_t *rows, size_t n, float *y) {
    (void)backend;
    for (size_t i = 0; i < n; i++) memcpy(y + i * width, x + (size_t)rows[i] * width, width * sizeof *x);
}

void cpu_gated_add(Backend *backend, const float *gates, const float *x, size_t rows, size_t width, float *y) {
    (void)backend;
    for (size_t i = 0; i < rows; i++) {
        const float factor = 1 / (1 + expf(-gates[i]));
        for (size_t j = 0; j < width; j++) y[i * width + j] += factor * x[i * width + j];
    }
}

static void blend_row(const float *coefficients, const float *x, size_t from, size_t plane, size_t width, float *y) {
    for (size_t p = 0; p < from; p++)
        for (size_t j = 0; j < width; j++) y[j] += coefficients[p] * x[p * plane + j];
}

void cpu_blend_add(Backend *backend, const float *coefficients, const float *x, size_t from, size_t rows, size_t width,
                   float *y, size_t to) {
    const CpuBackend *cpu = cpu_of(backend);
    const size_t plane = rows * width;
#pragma omp parallel for schedule(static) num_threads(cpu_threads_for(cpu, 0, to *from *plane))
    for (size_t i = 0; i < to * rows; i++)
        blend_row(coefficients + (i % rows * to + i / rows) * from, x + i % rows * width, from, plane, width,
                  y + i * width);
}

static double mean_of_squares(const float *x, size_t width, double middle) {
    double sum = 0;
    for (size_t i = 0; i < width; i++) sum += ((double)x[i] - middle) * ((double)x[i] - middle);
    return sum / (double)width;
}

void cpu_match_size(Backend *backend, float *x, const float *like, float least, size_t rows, size_t width) {
    (void)backend;
    for (size_t r = 0; r < rows; r++) {
        const double own = mean_of_squares(x + r * width, width, 0),
                     other = mean_of_squares(like + r * width, width, 0);
        const float factor = (float)sqrt(other / (own < (double)least ? (double)least : own)); // NaN stays NaN
        for (size_t i = 0; i < width; i++) x[r * width + i] *= factor;
    }
}

void cpu_cut_below(Backend *backend, float *x, float deviations, size_t rows, size_t width) {
    (void)backend;
    for (size_t r = 0; r < rows; r++) {
        float *row = x + r * width;
        double mean = 0;
        for (size_t i = 0; i < width; i++) mean += (double)row[i];
        mean /= (double)width;
        const float limit = (float)(mean + (double)deviations * sqrt(mean_of_squares(row, width, mean)));
        for (size_t i = 0; i < width; i++) row[i] = row[i] < limit ? 0 : row[i] - limit;
    }
}

void cpu_scatter_add(Backend *backend, const float *x, size_t width, const int32_t *rows, const float *factors,
                     size_t n, float *y) {
    (void)backend;
    for (size_t i = 0; i < n; i++) {
        float *row = y + (size_t)rows[i] * width;
        for (size_t j = 0; j < width; j++) row[j] += factors[i] * x[i * width + j];
    }
}
