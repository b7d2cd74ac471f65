#include "export/formats.h"

#include <stddef.h>

const char *const export_format_names[EXPORT_FORMAT_COUNT + 1] = {
    [EXPORT_COMPRESSED_TENSORS] = "compressed-tensors",
    [EXPORT_GGUF] = "gguf",
    [EXPORT_MLX] = "mlx",
    [EXPORT_GPTQ] = "gptq",
    [EXPORT_DENSE] = "dense",
    [EXPORT_FORMAT_COUNT] = NULL,
};
