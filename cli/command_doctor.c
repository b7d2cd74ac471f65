#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "kernels/cuda_probe.h"
#include "tui/tui.h"

// One finding: a key of the JSON object and a line of text say the same.
static void doctor_add(cJSON *section, const char *key, const char *value) {
    cJSON_AddStringToObject(section, key, value ? value : "unknown");
}

void processor_name(char *name, size_t size) {
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    *name = '\0';
    while (file && !*name && fgets(line, sizeof line, file)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        value += strspn(value, ": \t");
        snprintf(name, size, "%.*s", (int)strcspn(value, "\n"), value);
    }
    if (file) fclose(file);
}

static cJSON *cpu_section(Error *err) {
    cJSON *cpu = cJSON_CreateObject();
    Backend *backend;
    char name[96];
    processor_name(name, sizeof name);
    doctor_add(cpu, "processor", *name ? name : NULL);
    if (backend_cpu_new(0, &backend, err)) {
        doctor_add(cpu, "kernels", backend->ops->describe(backend));
        backend->ops->destroy(backend);
    } else {
        doctor_add(cpu, "kernels", err->message); // QUANTDIAL_CPU asks for what is not there
    }
    cJSON_AddNumberToObject(cpu, "cores", (double)sysconf(_SC_NPROCESSORS_ONLN));
    cJSON *features = cJSON_AddArrayToObject(cpu, "features");
#ifdef QUANTDIAL_X86
    __builtin_cpu_init();
    const struct {
        const char *name;
        int has;
    } known[] = {
        {"avx2", __builtin_cpu_supports("avx2")},
        {"fma", __builtin_cpu_supports("fma")},
        {"avx512f", __builtin_cpu_supports("avx512f")},
        {"avx512bw", __builtin_cpu_supports("avx512bw")},
        {"avx512vnni", __builtin_cpu_supports("avx512vnni")},
        {"avx512bf16", __builtin_cpu_supports("avx512bf16")},
        {"avx512vbmi", __builtin_cpu_supports("avx512vbmi")},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].has) cJSON_AddItemToArray(features, cJSON_CreateString(known[i].name));
    }
#endif
    cJSON_AddNumberToObject(cpu, "memory_bytes", (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE));
    return cpu;
}

static cJSON *cuda_section(void) {
    cJSON *cuda = cJSON_CreateObject();
    CudaProbe probe;
    char library[160] = "", kernels[400];
    cuda_probe(&probe);
    cJSON_AddBoolToObject(cuda, "compiled", probe.compiled);
    cJSON_AddNumberToObject(cuda, "driver", probe.driver_version);
    cJSON_AddNumberToObject(cuda, "runtime", probe.runtime_version);
    cJSON *devices = cJSON_AddArrayToObject(cuda, "devices");
    for (int i = 0; i < probe.device_count && i < CUDA_PROBE_DEVICES; i++) {
        cJSON *device = cJSON_CreateObject();
        char capability[32];
        snprintf(capability, sizeof capability, "%d.%d", probe.devices[i].major, probe.devices[i].minor);
        doctor_add(device, "name", probe.devices[i].name);
        doctor_add(device, "capability", capability);
        cJSON_AddNumberToObject(device, "bytes", (double)probe.devices[i].total_bytes);
        cJSON_AddItemToArray(devices, device);
    }
    if (probe.compiled) {
        cuda_library_note(probe.runtime_version, library, sizeof library);
        doctor_add(cuda, "cublas", library);
    }
    if (probe.device_count > 0 && !probe.reason[0]) {
        engine_device_note(kernels, sizeof kernels);
        doctor_add(cuda, "kernels", kernels);
    }
    doctor_add(cuda, "note", probe.reason[0] ? probe.reason : "used, unless --backend cpu says otherwise");
    return cuda;
}

static cJSON *terminal_section(void) {
    cJSON *terminal = cJSON_CreateObject();
    struct winsize size = {0};
    char text[32] = "none";
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
        snprintf(text, sizeof text, "%hux%hu", size.ws_col, size.ws_row);
    doctor_add(terminal, "TERM", getenv("TERM"));
    const char *colours = getenv("COLORTERM"), *no_colours = getenv("NO_COLOR");
    doctor_add(terminal, "COLORTERM", colours ? colours : "");
    doctor_add(terminal, "size", text);
    doctor_add(terminal, "charset", nl_langinfo(CODESET));
    cJSON_AddBoolToObject(terminal, "no_color", no_colours && no_colours[0]);
    return terminal;
}

// The file of settings of the screen, whether it is there, and what of it is not used.
static void add_settings(cJSON *paths) {
    char *file = tui_settings_file(), *faults = file ? tui_settings_faults(file) : NULL, *text = NULL;
    if (!file)
        doctor_add(paths, "settings", "none: neither XDG_CONFIG_HOME nor HOME is set");
    else if (file_exists(file))
        doctor_add(paths, "settings", file);
    else if (asprintf(&text, "%s: not there", file) >= 0)
        doctor_add(paths, "settings", text);
    cJSON *unused = faults ? cJSON_AddArrayToObject(paths, "unused") : NULL;
    for (char *rest = faults, *fault; unused && (fault = strtok_r(rest, "\n", &rest));)
        cJSON_AddItemToArray(unused, cJSON_CreateString(fault));
    free(text);
    free(faults);
    free(file);
}

static cJSON *paths_section(void) {
    cJSON *paths = cJSON_CreateObject();
    Error err = {0};
    char *cache = folder_cache(), *config = folder_config(), *sample = sample_path(&err);
    doctor_add(paths, "cache",
               cache ? cache : "none: neither XDG_CACHE_HOME nor HOME is set; measurements are not kept");
    doctor_add(paths, "config", config ? config : "none");
    add_settings(paths);
    doctor_add(paths, "sample", sample ? sample : err.message);
    free(cache);
    free(config);
    free(sample);
    return paths;
}

static cJSON *libraries_section(void) {
    cJSON *libraries = cJSON_CreateObject();
    doctor_add(libraries, "cjson", cJSON_Version());
#ifdef QUANTDIAL_ONEDNN
    doctor_add(libraries, "onednn", "built with it: dense products of many tokens");
#else
    doctor_add(libraries, "onednn", "built without it: dense products of many tokens are slower");
#endif
    return libraries;
}

static void print_value(const cJSON *item) {
    if (cJSON_IsString(item)) {
        print_name(item->valuestring, 0);
        putchar('\n');
    } else if (cJSON_IsBool(item))
        puts(cJSON_IsTrue(item) ? "yes" : "no");
    else if (cJSON_IsNumber(item))
        printf("%.0f\n", item->valuedouble);
    else {
        for (const cJSON *entry = item->child; entry; entry = entry->next) {
            if (cJSON_IsString(entry)) {
                const bool sentence = strchr(entry->valuestring, ' ') && entry->next; // has a line of its own
                print_name(entry->valuestring, 0);
                printf("%s", sentence ? "\n                " : " ");
                continue;
            }
            print_name(cJSON_GetObjectItem(entry, "name")->valuestring, 0);
            printf(" (%s) ", cJSON_GetObjectItem(entry, "capability")->valuestring);
        }
        puts(item->child ? "" : "none");
    }
}

static void print_sections(const cJSON *report) {
    printf("quantdial %s\n", cJSON_GetObjectItem(report, "version")->valuestring);
    for (const cJSON *section = report->child; section; section = section->next) {
        if (!cJSON_IsObject(section)) continue;
        printf("\n%s\n", section->string);
        for (const cJSON *item = section->child; item; item = item->next) {
            printf("  %-13s ", item->string);
            print_value(item);
        }
    }
}

bool command_doctor(const Options *options, Error *err) {
    cJSON *report = cJSON_CreateObject();
    cJSON_AddStringToObject(report, "version", QUANTDIAL_VERSION);
    cJSON_AddItemToObject(report, "cpu", cpu_section(err));
    cJSON_AddItemToObject(report, "cuda", cuda_section());
    cJSON_AddItemToObject(report, "terminal", terminal_section());
    cJSON_AddItemToObject(report, "libraries", libraries_section());
    cJSON_AddItemToObject(report, "paths", paths_section());
    if (options->json) {
        print_json(report);
    } else {
        print_sections(report);
        cJSON_Delete(report);
    }
    return true;
}
