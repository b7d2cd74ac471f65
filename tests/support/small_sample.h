// The sample with two of its six layers, for tests of what is done with a model, whatever its figures: an eighth of the
// work where each linear is measured over all of them. It takes the sample's place ($QUANTDIAL_SAMPLES), also in
// programs that are started: in one test (ON_SMALL_SAMPLE in the list of tests), or in all of them (both functions
// given to cmocka_run_group_tests).
#pragma once

int small_sample_make(void **state);
int small_sample_drop(void **state);

#define ON_SMALL_SAMPLE(function) cmocka_unit_test_setup_teardown(function, small_sample_make, small_sample_drop)
