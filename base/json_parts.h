// What the files json*.c share.
#pragma once

#include "base/json.h"

// json_parse of a text without NaN and Infinity; keys may stand twice in what it returns.
cJSON *json_parse_standard(const char *text, size_t length, Error *err);
