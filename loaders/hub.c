// Where models lie: environment variables and layout as huggingface_hub documents them (package reference,
// "Environment variables" and "Understand caching").
#include "loaders/hub.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/expand.h"
#include "base/file.h"

// What the user asked for, taken apart.
typedef struct Wanted {
    char *folder;   // "models--org--name"
    char *revision; // NULL: none was named
} Wanted;

// ---- The folder of all models ----

static const char *hub_variable(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

// In the order in which huggingface_hub looks. NULL when no home is known.
static char *hub_folder(void) {
    const char *cache = hub_variable("HF_HUB_CACHE"), *home = hub_variable("HF_HOME"),
               *xdg = hub_variable("XDG_CACHE_HOME");
    char *path = NULL;
    int n = 0;
    if (!cache) cache = hub_variable("HUGGINGFACE_HUB_CACHE");
    if (cache) return path_expand(cache);
    if (home)
        n = asprintf(&path, "%s/hub", home);
    else
        n = asprintf(&path, "%s/huggingface/hub", xdg ? xdg : "~/.cache");
    char *expanded = n < 0 ? NULL : path_expand(path);
    if (n >= 0) free(path);
    if (!expanded || *expanded != '~') return expanded;
    free(expanded);
    return NULL;
}

// ---- Names ----

// Letters, digits and . _ -, beginning with a letter, a digit or _. Stops at what is none of these.
static const char *skip_part(const char *text) {
    if (!isalnum((unsigned char)*text) && *text != '_') return NULL;
    while (isalnum((unsigned char)*text) || (*text && strchr("._-", *text))) text++;
    return text;
}

// Parts with single slashes between them, at most `most`; NULL when they are none.
static const char *skip_parts(const char *text, int most) {
    text = skip_part(text);
    for (int parts = 1; text && *text == '/'; parts++) text = parts < most ? skip_part(text + 1) : NULL;
    return text;
}

static bool is_name(const char *text) {
    const char *end = skip_parts(text, 2);
    if (end && *end == '@') end = skip_parts(end + 1, 8); // branches may have slashes: refs/pr/1
    return end && !*end;
}

static const char *skip_address(const char *text) {
    static const char *const places[] = {"https://huggingface.co/", "https://hf.co/", "hf://"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const size_t length = strlen(places[i]);
        if (strncmp(text, places[i], length) == 0) return text + length;
    }
    return text;
}

#define MODEL_FOLDER "models--"

// "models--org--name" → "org/name".
static char *name_of_part(const char *part) {
    char *name = strdup(part + strlen(MODEL_FOLDER)), *dashes = name ? strstr(name, "--") : NULL;
    if (dashes) {
        *dashes = '/';
        memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
    }
    if (name && is_name(name)) return name;
    free(name);
    return NULL;
}

static bool is_model_folder(const char *name) { return strncmp(name, MODEL_FOLDER, strlen(MODEL_FOLDER)) == 0; }

char *hub_name_in(const char *text) {
    char *name = strdup(skip_address(text));
    size_t end = name ? strlen(name) : 0;
    while (end && name[end - 1] == '/') name[--end] = '\0';
    char *tree = name ? strstr(name, "/tree/") : NULL;
    if (tree) {
        *tree = '@';
        memmove(tree + 1, tree + strlen("/tree/"), strlen(tree + strlen("/tree/")) + 1);
    }
    char *found = !name ? NULL : is_model_folder(name) ? name_of_part(name) : is_name(name) ? strdup(name) : NULL;
    free(name);
    return found;
}

// The part "models--org--name" of a real path that ends there or in a snapshot; NULL: it lies in no cache. Other
// folders may be called so, too.
static char *find_model_part(char *path) {
    for (char *found = path; (found = strstr(found, "/" MODEL_FOLDER)); found++) {
        char *part = found + 1, *end = part + strcspn(part, "/");
        if (*end && strncmp(end, "/snapshots/", strlen("/snapshots/")) != 0) continue;
        *end = '\0';
        return part;
    }
    return NULL;
}

char *hub_name_of(const char *folder) {
    char *path = realpath(folder, NULL), *part = path ? find_model_part(path) : NULL;
    char *name = part ? name_of_part(part) : NULL;
    free(path);
    return name;
}

static bool take_apart(const char *name, Wanted *out) {
    const size_t length = strcspn(name, "@");
    Text text = {0};
    text_addf(&text, MODEL_FOLDER);
    for (size_t i = 0; i < length; i++) text_add(&text, name[i] == '/' ? "--" : name + i, name[i] == '/' ? 2 : 1);
    *out = (Wanted){.folder = text.data, .revision = name[length] ? strdup(name + length + 1) : NULL};
    return !text.failed && (!name[length] || out->revision);
}

// Names on the hub differ in more than case, so a name typed in another case means the only folder that has it.
static char *find_model(const char *hub, const char *name) {
    char *exact = path_join(hub, name);
    if (!exact || folder_exists(exact)) return exact;
    DIR *listing = opendir(hub);
    for (struct dirent *item; listing && (item = readdir(listing));) {
        if (strcasecmp(item->d_name, name) != 0) continue;
        free(exact);
        exact = path_join(hub, item->d_name);
        break;
    }
    if (listing) closedir(listing);
    if (exact && folder_exists(exact)) return exact;
    free(exact);
    return NULL;
}

// ---- Snapshots ----

// The folders inside `folder`: how many, and one of them (owned by the caller).
static int list_folders(const char *folder, char **one) {
    DIR *listing = opendir(folder);
    int count = 0;
    *one = NULL;
    for (struct dirent *item; listing && (item = readdir(listing));) {
        char *path = item->d_name[0] == '.' ? NULL : path_join(folder, item->d_name);
        if (path && folder_exists(path)) {
            free(*one);
            *one = strdup(path);
            count++;
        }
        free(path);
    }
    if (listing) closedir(listing);
    return count;
}

// The commit that refs/NAME holds; NULL when there is no such file or no commit in it.
static char *read_ref(const char *model, const char *name) {
    char *refs = path_join(model, "refs"), *path = refs ? path_join(refs, name) : NULL, *commit = NULL;
    size_t length = 0;
    if (path && file_exists(path) && file_read(path, 256, &commit, &length, NULL)) {
        commit[strcspn(commit, " \t\r\n")] = '\0';
        const char *end = skip_part(commit);
        if (!end || *end) *commit = '\0'; // no folder of that name can be there
    }
    free(refs);
    free(path);
    return commit;
}

// name: how the user named the model; NULL: by its folder.
static bool find_snapshot(const char *model, const char *name, const char *revision, char **out, Error *err) {
    char *snapshots = path_join(model, "snapshots"), *commit = read_ref(model, revision ? revision : "main");
    const char *wanted = commit ? commit : revision;
    int count = 0;
    *out = NULL;
    if (snapshots && wanted)
        *out = *wanted ? path_join(snapshots, wanted) : NULL;
    else if (snapshots)
        count = list_folders(snapshots, out);
    bool found = *out && folder_exists(*out) && count <= 1;
    if (*out && count > 1)
        error_set(err, "%s: holds %d snapshots, and no refs/main that says which; name one: %s%s%s", model, count,
                  name ? name : snapshots, name ? "@" : "/", strrchr(*out, '/') + 1);
    else if (!found && revision)
        error_set(err, "%s: holds no snapshot of the revision %s; download it first", model, revision);
    else if (!found)
        error_set(err, "%s: holds no complete snapshot; download the model again", model);
    if (!found && name) error_prefix(err, "%s", name);
    if (!found) {
        free(*out);
        *out = NULL;
    }
    free(snapshots);
    free(commit);
    return found;
}

bool hub_find(const char *name, char **folder, Error *err) {
    Wanted wanted;
    *folder = NULL;
    char *hub = hub_folder();
    bool ok = take_apart(name, &wanted) || error_memory(err, name);
    char *model = ok && hub ? find_model(hub, wanted.folder) : NULL;
    if (ok && !model) {
        ok = error_set(err,
                       "%s: there is no such file or folder, and no such model in the local Hugging Face cache (%s); "
                       "download it first: hf download %.*s%s%s",
                       name, hub ? hub : "no home folder is known", (int)strcspn(name, "@"), name,
                       wanted.revision ? " --revision " : "", wanted.revision ? wanted.revision : "");
    }
    ok = ok && find_snapshot(model, name, wanted.revision, folder, err);
    free(wanted.folder);
    free(wanted.revision);
    free(hub);
    free(model);
    return ok;
}

bool hub_find_in(const char *path, char **folder, Error *err) {
    char *snapshots = path_join(path, "snapshots"), *whole = realpath(path, NULL);
    const char *slash = whole ? strrchr(whole, '/') : NULL;
    *folder = NULL;
    const bool is_model = slash && is_model_folder(slash + 1) && snapshots && folder_exists(snapshots);
    free(snapshots);
    free(whole);
    return !is_model || find_snapshot(path, NULL, NULL, folder, err);
}
