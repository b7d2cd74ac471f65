#include "cli/cli.h"

bool command_make_random(const Options *options, Error *err) {
    bool ok = random_checkpoint_write(&options->random, options->folder, watch_start(options), err);
    watch_end();
    if (!ok) return false;
    print_name(options->folder, 0);
    printf(": random weights in the shape %s\n", options->random.shape.name);
    return true;
}
