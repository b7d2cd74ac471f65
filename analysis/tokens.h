// Tokens to calibrate on and to evaluate with.
#pragma once

#include "loaders/chat/chat_template.h"
#include "loaders/tokenizer/tokenizer.h"

// How texts become what the model reads.
typedef struct TextForm {
    const Tokenizer *tokenizer;
    const ChatTemplate *chat; // NULL: conversations become plain text, "User: …", "Assistant: …"
} TextForm;

// Appends the ids of a conversation, a JSON list of {"role", "content"}: through the template, which brings its own
// special tokens, or as plain text. A template that refuses a system message gets it at the head of the user's first
// one. answer: with the beginning of the assistant's next turn. Dates that a template prints are always the same day's,
// so that figures can be repeated.
bool tokens_of_conversation(const TextForm *form, const cJSON *messages, bool answer, TokenIds *out, Error *err);

// Appends the first `most` token ids of a text file, or of a .jsonl file, whose lines hold either a "text" or the
// "messages" of a conversation (a damaged line is refused with its number). The ids are those of the whole text, but no
// more of the file is read than they take: text is tokenized in blocks that end where no token of this tokenizer can
// reach across. A text without such a place for 64 MB is cut there all the same. What the tokenizer puts around a text
// (BOS, EOS) is put once around a text file, and around each "text" of a .jsonl file. A file without any text is
// refused. On failure *out is as it was.
bool tokens_from_file(const TextForm *form, const char *path, size_t most, TokenIds *out, Error *err);
bool tokens_file_has_lines(const char *path); // a .jsonl file, the only kind that may hold conversations
// Uniformly random vocabulary ids, special ones included as they come: FPTQ's data-free calibration.
bool tokens_random(size_t vocab, size_t count, uint64_t seed, TokenIds *out, Error *err);
