// The formats that a quantized checkpoint can be written in.
#pragma once

typedef enum ExportFormat {
    EXPORT_COMPRESSED_TENSORS, // safetensors that vLLM, SGLang and transformers read
    EXPORT_GGUF,               // one file that llama.cpp reads
    EXPORT_MLX,                // safetensors that mlx-lm reads
    EXPORT_GPTQ,               // safetensors that vLLM and transformers read as GPTQ
    EXPORT_DENSE,              // safetensors with nothing quantized
    EXPORT_FORMAT_COUNT,
} ExportFormat;

extern const char *const export_format_names[EXPORT_FORMAT_COUNT + 1]; // "compressed-tensors"; the last is NULL
