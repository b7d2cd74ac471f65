// A tiny mixture of experts (Mixtral) whose rows fill blocks of 32, which those of the fixtures do not.
#pragma once

enum { TINY_EXPERTS = 3, TINY_HIDDEN = 32, TINY_FFN = 64 };

// Writes it, in F32, into FOLDER/source; its path, owned by the caller.
char *tiny_experts_put(const char *folder);
