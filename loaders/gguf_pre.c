#include "loaders/gguf_pre.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BEHIND_DIGITS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+\n"
#define CASED(end, digits)                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" end             \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" end "|" digits \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+\n"
#define GPT2 GGUF_PRE_BYTES
#define LLAMA3 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" BEHIND_DIGITS
#define QWEN2 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" BEHIND_DIGITS
#define QWEN35                                                                                                      \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+" \
                 "|\\s+(?!\\S)|\\s+\n"
#define DEEPSEEK3                                                                                  \
    "\\p{N}{1,3}\n[一-龥぀-ゟ゠-ヿ]+\n[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+" \
    "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+\n"
#define DEEPSEEK_LLM "[\\r\\n]\n" GGUF_PRE_ANY GGUF_PRE_ANY "\\s+$\n[一-龥ࠀ-一가-퟿]+\n\\p{N}\n"
#define DEEPSEEK_CODER "[\\r\\n]\n\\s?\\p{L}+\n\\s?\\p{P}+\n[一-龥ࠀ-一가-퟿]+\n\\p{N}\n"
#define FALCON GGUF_PRE_PUNCTUATION "Contiguous\n" GPT2 "\\p{N}+\n[0-9][0-9][0-9]\n"
#define DIGITS "\\p{N}\n" GPT2
// What llama.cpp does where it knows no name. The digits are cut before bytes are written as characters, of which some
// are digits.
#define DEFAULT                   \
    "[\\p{P}\\$\\+<=>\\^~\\|]+\n" \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+\n\\p{N}+\n[0-9][0-9][0-9]\n"

const GgufPre gguf_pres[] = {
    {.name = "gpt-2", .steps = GPT2},
    {.name = "llama-bpe", .steps = LLAMA3, .whole_words = true, .begins = true},
    {.name = "dbrx", .steps = LLAMA3},
    {.name = "qwen2", .steps = QWEN2, .composes = true},
    {.name = "qwen35", .steps = QWEN35},
    {.name = "smollm", .steps = DIGITS},
    {.name = "tekken", .steps = CASED("", "\\p{N}"), .whole_words = true, .begins = true},
    {.name = "gpt-4o", .steps = CASED(CONTRACTIONS "?", "\\p{N}{1,3}")},
    {.name = "deepseek-v3", .steps = DEEPSEEK3},
    {.name = "deepseek-llm", .steps = DEEPSEEK_LLM},
    {.name = "deepseek-coder", .steps = DEEPSEEK_CODER},
    {.name = "falcon", .steps = FALCON},
    {.name = "default", .steps = DEFAULT},
    // Further names of the same.
    {.name = "llama3", .steps = LLAMA3, .whole_words = true, .begins = true},
    {.name = "llama-v3", .steps = LLAMA3, .whole_words = true, .begins = true},
    {.name = "falcon3", .steps = LLAMA3, .whole_words = true, .begins = true},
    {.name = "pixtral", .steps = LLAMA3, .whole_words = true, .begins = true},
    {.name = "lfm2", .steps = LLAMA3, .whole_words = true, .begins = true},
    {.name = "smaug-bpe", .steps = LLAMA3},
    {.name = "deepseek-r1-qwen", .steps = QWEN2, .composes = true},
    {.name = "megrez", .steps = QWEN2},
    {.name = "stablelm2", .steps = QWEN2},
    {.name = "hunyuan", .steps = QWEN2},
    {.name = "llama4", .steps = CASED(CONTRACTIONS "?", "\\p{N}{1,3}")},
    {.name = "olmo", .steps = GPT2, .composes = true},
    {.name = "mpt", .steps = GPT2, .composes = true},
    {.name = "phi-2", .steps = GPT2},
    {.name = "exaone4", .steps = GPT2},
    {.name = "starcoder", .steps = DIGITS},
    {.name = "refact", .steps = DIGITS},
    {.name = "command-r", .steps = DIGITS},
    {.name = "codeshell", .steps = DIGITS},
    {.name = "exaone", .steps = DIGITS},
    {0},
};
