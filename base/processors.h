// FOR_EVERY_PROCESSOR before a function compiles it for several vector sets, of which the best is taken at run time,
// where the compiler can do that.
#pragma once

#if defined(QUANTDIAL_X86) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define FOR_EVERY_PROCESSOR
#endif
