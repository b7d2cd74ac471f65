#include "cli/cli.h"

bool command_make_random(const Options *options, Error *err) {
    bool ok = random_checkpoint_write(&options->random, options->folder, watch_start(options), err);
    watch_end();
    if (ok) printf("%s: random weights in the shape %s\n", options->folder, options->random.shape.name);
    return ok;
}
