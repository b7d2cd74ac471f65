// Checks of whole models on a device against the CPU. Each takes the backend, and destroys it.
#pragma once

#include "model/generate.h"

void check_model_logits(const char *folder, Backend *device, size_t most_tokens);
// Token by token, so by recorded steps, against the same tokens at once.
void check_recorded_steps(const char *folder, Backend *device, size_t tokens);
// The same for several sequences side by side, against each of them alone on the CPU; and the tokens chosen for them.
void check_recorded_batch(const char *folder, Backend *device, size_t batch, size_t tokens);
// A model with experts whose weights are replaced between recorded steps, against the same tokens with somebody looking
// on, for whom experts are chosen on the host.
void check_changed_experts(const char *folder, Backend *device, size_t tokens);
// The same text, and nothing but its tokens comes back from the device. downloaded: bytes so far, NULL where nobody
// counts.
void check_generated(const char *folder, Backend *device, const Sampling *, size_t most, const size_t *downloaded);
extern const Sampling check_samplings[3]; // greedy, at a temperature, and with a nucleus
// The same statistics when activations are measured where they are.
void check_calibration(const char *folder, Backend *device, size_t length);
// A recipe with these dials on the fixture of tests/support/study.h: the same errors of the weights, and logits that
// differ as little as another order of sums may make them.
void check_quantized_model(Backend *device, const char *dials);
// The same bits, with fewer launches, as when somebody looks at the input of every linear. launches: their number so
// far, NULL where nobody counts.
void check_fused_model(Backend *device, const char *dials, const size_t *launches);
