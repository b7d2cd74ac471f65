# quantdial. `make help` lists the targets.
#
# A new file needs no entry here: every *.c of a room belongs to the library, every tests/test_*.c is one test
# program, the suffixes _avx2.c and _avx512.c choose instruction sets, and *.cu is compiled where nvcc is found.
#
# Variables worth setting:
#   CC, CFLAGS, LDFLAGS             compiler (gcc or clang) and flags
#   PREFIX, DESTDIR                 where install puts its files
#   V=1                             show the commands
#   WERROR=                         let warnings pass
#   CUDA=0, ONEDNN=0, VTERM=0       build without an optional part
#   CUDA_ARCHS=all, ="80 90"        compile CUDA for all architectures, or for these. The default is the devices of this
#                                   machine, or 80 if there are none, which newer devices translate at the first start
#   TESTS="test_recipe test_plan"   only these test programs
#

VERSION := 0.1.0
PREFIX ?= /usr/local
ifeq ($(origin CC),default)
CC := gcc
endif
# -g1: enough for a backtrace, and a quarter of the size.
CFLAGS ?= -O3 -g1
# ./bootstrap leaves it empty: a compiler we have not seen may warn of what ours does not.
WERROR ?= -Werror
JOBS ?= $(shell nproc 2>/dev/null || echo 1)

# optimized: build/ · sanitized: build/asan/ · debug: build/debug/ · fuzz: build/fuzz/
MODE ?= optimized
OUT.optimized := build
OUT.sanitized := build/asan
OUT.debug := build/debug
OUT.fuzz := build/fuzz
OUT := $(OUT.$(MODE))

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: FORCE

.PHONY: build
build: ## builds the program, build/quantdial (the default)

# ---- What the machine has: build/config.mk, written by ./configure ----

NVCC ?= $(firstword $(if $(CUDA_HOME),$(wildcard $(CUDA_HOME)/bin/nvcc)) \
                    $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
export CC NVCC ONEDNN VTERM

WITHOUT_CONFIG := help clean format check-includes uninstall
ifneq ($(filter-out $(WITHOUT_CONFIG),$(or $(MAKECMDGOALS),build)),)
include build/config.mk
endif

# Looked for again when the compiler changed, and for as long as something optional is missing.
same = $(and $(findstring <$(1)>,<$(2)>),$(findstring <$(2)>,<$(1)>))
LOOK_AGAIN := $(NOT_FOUND) $(if $(call same,$(CONFIGURED_CC),$(CC)),,CC) $(if $(call same,$(CONFIGURED_NVCC),$(NVCC)),,NVCC)
build/config.mk: configure $(if $(strip $(LOOK_AGAIN)),FORCE)
	@./configure

# What is optional can be left out by name.
ifeq ($(ONEDNN),0)
DNNL_INCLUDES :=
DNNL_LIBS :=
endif
ifeq ($(VTERM),0)
VTERM_INCLUDES :=
VTERM_LIBS :=
endif

X86 := $(filter x86_64-% amd64-%,$(MACHINE))
# The sanitizers and the CUDA runtime do not go together, and both ways of building are worth testing.
WITH_CUDA := $(if $(filter optimized,$(MODE)),$(if $(filter-out 0,$(or $(CUDA),1)),$(CUDA_USABLE)))

# ---- Sources ----

ROOMS := base kernels loaders quant export model analysis engine workbench tui cli
# Two levels below a room are enough, and wildcards are quicker than find.
in_rooms = $(sort $(foreach room,$(ROOMS),$(wildcard $(room)/$(1) $(room)/*/$(1) $(room)/*/*/$(1))))

SOURCES := $(call in_rooms,*.c)
CUDA_SOURCES := $(if $(WITH_CUDA),$(call in_rooms,*.cu))
ifeq ($(X86),)
SOURCES := $(filter-out %_avx2.c %_avx512.c,$(SOURCES))
endif
ifneq ($(WITH_CUDA),)
# x_none.c is what stands in for x.cu.
SOURCES := $(filter-out kernels/cuda/%_none.c,$(SOURCES))
endif
LIB_SOURCES := $(filter-out cli/main.c,$(SOURCES))
SUPPORT_SOURCES := $(wildcard tests/support/*.c)

TESTS ?= $(sort $(basename $(notdir $(wildcard tests/test_*.c))))
# Terminal tests draw into libvterm; they are named for it.
TERMINAL_TESTS := $(filter test_tui% test_terminal%,$(TESTS))
ifeq ($(VTERM_LIBS),)
TESTS_WITHOUT_VTERM := $(filter-out $(TERMINAL_TESTS),$(TESTS))
LEFT_OUT := $(TERMINAL_TESTS)
override TESTS := $(TESTS_WITHOUT_VTERM)
TERMINAL_TESTS :=
endif

objects = $(patsubst %,$(OUT)/obj/%.o,$(1))
# nvcc takes longest, so it begins first.
LIB_OBJECTS := $(call objects,$(CUDA_SOURCES) $(LIB_SOURCES))
SUPPORT_OBJECTS := $(call objects,$(SUPPORT_SOURCES))
MAIN := $(call objects,cli/main.c)
# Sanitized code is large: there the programs share it. The optimized ones are of the objects that the program is made of.
LIBRARY.optimized := build/libquantdial.a
LIBRARY.sanitized := build/asan/libquantdial.so
LIBRARY.debug := build/debug/libquantdial.a
LIBRARY.fuzz := build/fuzz/libquantdial.a
LIBRARY := $(LIBRARY.$(MODE))
SUPPORT := $(OUT)/libsupport.a
PROGRAM := $(OUT)/quantdial
TEST_PROGRAMS := $(TESTS:%=$(OUT)/tests/%)

# ---- Flags ----

comma := ,

# No -ffast-math, and no contraction: a result must not depend on what a compiler fuses. Kernels that want fused
# multiply-add say so with intrinsics.
ARITHMETIC := -fno-math-errno -ffp-contract=off
# snprintf cuts where it is told to; that is what it is for. And gcc cannot know that error_set always returns false, so
# it sees uninitialized variables behind every `if (!f(…, &x, err)) return false;`; valgrind and clang-tidy see better.
WARNINGS.gcc := -Wno-format-truncation -Wno-maybe-uninitialized
# A loop that clang cannot vectorize is as right as before, and a constant of an enum among doubles is what it says.
WARNINGS.clang := -Wno-pass-failed -Wno-enum-float-conversion
WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
            -Wpointer-arith -Wwrite-strings -Wvla -Wundef $(WARNINGS.$(COMPILER_KIND)) $(WERROR)
DEFINES := -D_GNU_SOURCE -DNCURSES_WIDECHAR=1 -DQUANTDIAL_VERSION=\"$(VERSION)\" \
           $(if $(X86),-DQUANTDIAL_X86) $(if $(DNNL_LIBS),-DQUANTDIAL_ONEDNN) $(if $(VTERM_LIBS),-DQUANTDIAL_VTERM) \
           $(if $(WITH_CUDA),-DQUANTDIAL_CUDA)
INCLUDES := -I. $(LIB_INCLUDES) $(DNNL_INCLUDES) $(if $(WITH_CUDA),$(CUDA_INCLUDE:%=-isystem %))

FLAGS.optimized := $(CFLAGS) -fopenmp
FLAGS.sanitized := -O1 -g1 -fPIC -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -fopenmp
# For a debugger: every variable is where the source says.
FLAGS.debug := -O0 -g3 -fopenmp
# clang for libFuzzer; one thread, so that a finding can be repeated. Warnings are gcc's business: without OpenMP clang
# finds variables unused that only pragmas use.
FLAGS.fuzz := -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all \
              -w -idirafter $(OMP_INCLUDE)
CLANG ?= clang
COMPILER.optimized := $(CC)
COMPILER.sanitized := $(CC)
COMPILER.debug := $(CC)
COMPILER.fuzz := $(CLANG)

C_FLAGS := -std=gnu17 $(FLAGS.$(MODE)) $(ARITHMETIC) $(WARNINGS) $(DEFINES) $(INCLUDES)

# Per file: what its name promises. cmocka's macros convert freely, so tests are not held to -Wconversion.
AVX2 := -mavx2 -mfma -mf16c
AVX512 := $(AVX2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512bf16 -mavx512vbmi
# Without optimization intrinsics are macros, which convert freely.
# The large kernels are half of what there is to compile with sanitizers. What UBSan says of null pointers and known
# objects, ASan says too; and three passes that only look for speed take a third of the time.
# No fuzz target computes products, and instrumented their kernels take clang many minutes.
LARGE.clang := -fno-sanitize=null$(comma)object-size
LARGE.gcc := $(LARGE.clang) -fno-tree-pta -fno-tree-loop-im -fno-move-loop-invariants
file_flags = $(if $(filter %_avx2.c,$(1)),$(AVX2)) $(if $(filter %_avx512.c,$(1)),$(AVX512)) \
             $(if $(filter debug,$(MODE)),$(if $(filter %_avx2.c %_avx512.c,$(1)),-O1)) \
             $(if $(filter sanitized,$(MODE)),$(if $(filter kernels/host/kernels_%,$(1)),$(LARGE.$(COMPILER_KIND)))) \
             $(if $(filter fuzz,$(MODE)),$(if $(filter kernels/host/kernels_%,$(1)),-fno-sanitize=all)) \
             $(if $(filter tests/% tools/%,$(1)),-Wno-conversion -Wno-sign-conversion -Wno-float-conversion $(CMOCKA_INCLUDES) $(VTERM_INCLUDES))

# gpu-programs is for another machine.
CUDA_ARCHS ?= $(if $(filter gpu-programs,$(MAKECMDGOALS)),all,$(CUDA_ARCHS_HERE))
# Code for 9.0 itself may multiply by warpgroups; what drivers translate for later devices may not.
CUDA_ARCH_90 ?= 90
ARCHS := $(if $(filter all,$(CUDA_ARCHS)),$(CUDA_ARCHS_ALL),$(CUDA_ARCHS))
code_for = $(foreach arch,$(1:90=$(CUDA_ARCH_90)),-gencode arch=compute_$(arch),code=sm_$(arch))
CUDA_FLAGS := -std=c++17 -O3 -g -fmad=false -Xcompiler -Wall,-Wextra,-fno-math-errno,-ffp-contract=off $(if $(WERROR),-Werror all-warnings) \
              $(call code_for,$(ARCHS)) \
              $(foreach arch,$(lastword $(ARCHS)),-gencode arch=compute_$(arch),code=compute_$(arch)) \
              -DQUANTDIAL_CUDA $(if $(X86),-DQUANTDIAL_X86) -I.
# The runtime is linked in and looks for the driver itself, so the program starts on machines without one.
CUDA_LIBS := $(if $(WITH_CUDA),-L$(CUDA_LIB) -lcudart_static -Wl$(comma)--as-needed -lstdc++ -Wl$(comma)--no-as-needed -ldl -lrt)
LINK_LIBS = $(if $(filter fuzz,$(MODE)),$(filter-out -fopenmp,$(LIBS)) $(OMP_LIBRARY),$(LIBS)) \
            $(DNNL_LIBS) $(CUDA_LIBS) -lpthread -lm

# ---- Compiling and linking ----

# One short line per file; V=1 shows the commands.
quietly = $(if $(V),,@echo "  $(1)";)

# These files are made anew only when their content changes: other flags rebuild everything, another list of objects the
# library. Whether one is out of date is known here, not in a recipe, so that `make -n` knows what there is to do.
remembered.flags = $(COMPILER.$(MODE)) $(filter-out $(WERROR),$(C_FLAGS)) | $(LDFLAGS) $(LINK_LIBS)
remembered.cuda-flags = $(NVCC) $(CUDA_FLAGS)
remembered.objects = $(LIB_OBJECTS) $(MAIN) $(SUPPORT_OBJECTS)
REMEMBERED := $(OUT)/flags $(OUT)/cuda-flags $(OUT)/objects
OUTDATED := $(foreach file,$(wildcard $(REMEMBERED)),$(if $(call same,$(file <$(file)),$(remembered.$(notdir $(file)))),,$(file)))
$(OUTDATED): FORCE
$(REMEMBERED):
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(remembered.$(@F)))' >$@

$(OUT)/obj/%.c.o: %.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call quietly,CC    $@)$(COMPILER.$(MODE)) $(C_FLAGS) $(strip $(call file_flags,$<)) -MMD -MP -c $< -o $@

$(OUT)/obj/%.cu.o: %.cu $(OUT)/cuda-flags
	@mkdir -p $(@D)
	$(call quietly,NVCC  $@)$(NVCC) $(CUDA_FLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

# Thin archives name their objects instead of copying them.
$(OUT)/libquantdial.a: $(LIB_OBJECTS) $(OUT)/objects
	@rm -f $@
	$(call quietly,AR    $@)ar rcsDT $@ $(LIB_OBJECTS)
$(SUPPORT): $(SUPPORT_OBJECTS) $(OUT)/objects
	@rm -f $@
	$(call quietly,AR    $@)ar rcsDT $@ $(SUPPORT_OBJECTS)
# With main and its table of commands, which others refer to; a test has a main of its own, and that comes first.
$(OUT)/libquantdial.so: $(LIB_OBJECTS) $(MAIN) $(OUT)/objects
	$(call quietly,LINK  $@)$(link) -shared -Wl$(comma)-soname$(comma)$(@F) $(LIB_OBJECTS) $(MAIN) $(LINK_LIBS) -o $@

link = $(COMPILER.$(MODE)) $(FLAGS.$(MODE)) $(if $(filter %.so,$(LIBRARY)),-Wl$(comma)-rpath$(comma)'$$ORIGIN:$$ORIGIN/..:$$ORIGIN/../..') $(LDFLAGS)
$(OUT)/quantdial: $(if $(filter %.so,$(LIBRARY)),,$(MAIN)) $(LIBRARY)
	$(call quietly,LINK  $@)$(link) $^ $(LINK_LIBS) -o $@

$(TEST_PROGRAMS): $(OUT)/tests/%: $(OUT)/obj/tests/%.c.o $(SUPPORT) $(LIBRARY)
	@mkdir -p $(@D)
	$(call quietly,LINK  $@)$(link) $(WATCHED) $(if $(WATCHED),$(filter-out %.so,$^),$^) \
	    $(CMOCKA_LIBS) $(VTERM_LIBS) $(LINK_LIBS) -o $@
# The first sees every frame that is meant to be shown, the other every text that is drawn. Inside a shared library the
# linker would not let them.
$(OUT)/tests/test_tui_keys $(OUT)/tests/test_tui_sizes: $(OUT)/libquantdial.a
$(OUT)/tests/test_tui_keys: WATCHED := -Wl,--wrap=terminal_show
$(OUT)/tests/test_tui_sizes: WATCHED := $(patsubst %,-Wl$(comma)--wrap=%,canvas_text canvas_fit canvas_right pen_text pen_field)

build: $(LIBRARY) $(PROGRAM)

.PHONY: debug
debug: ## builds the program for a debugger, build/debug/quantdial
	@$(MAKE) $(PARALLEL) MODE=debug --no-print-directory build

# What make would run, as editors and language servers read it. A dry run of everything, so it is always complete.
compile_commands.json: FORCE ## writes how each C file is compiled, for editors and language servers
	@$(MAKE) -Bn --no-print-directory V=1 build $(TEST_PROGRAMS) | tools/compile-commands "$$PWD" >$@.new
	@mv $@.new $@

.PHONY: demo
demo: build ## builds and starts the program with the sample model
	@$(PROGRAM)

# ---- Tests ----

# Sub-makes run in parallel unless this make already does.
PARALLEL = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))
# Terminal tests measure time against a screen; under valgrind that says nothing. The others start programs and read what
# they print: valgrind does not go with them, and the same would run twice.
NOT_IN_VALGRIND := $(TERMINAL_TESTS) test_cli test_options test_report test_situations test_bench_gpu
# It runs one thread at a time: whoever spins holds up what it waits for. And FMA, which it computes bit by bit, makes
# AVX2 slower than the scalar kernels.
VALGRIND := valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
            --errors-for-leak-kinds=definite --child-silent-after-fork=yes

.PHONY: test test-fast test-optimized test-sanitized test-valgrind test-programs
test: ## runs all tests: optimized, then with sanitizers, then under valgrind
	@tests/run --begin
	@for stage in optimized sanitized valgrind; do \
	    $(MAKE) $(PARALLEL) --no-print-directory test-$$stage || tests/run --stage-failed $$stage || break; done
	@tests/run --end

test-fast: ## runs all tests of the optimized build
	@tests/run --begin
	@$(MAKE) $(PARALLEL) --no-print-directory test-optimized || tests/run --stage-failed optimized || true
	@tests/run --end

# The benchmark for devices is run, too, on an emulated one.
test-programs: build $(TEST_PROGRAMS) $(if $(filter test_bench_gpu,$(TESTS)),$(OUT)/bench/gpu/bench_gpu)
	$(if $(CMOCKA_LIBS),,@echo "cmocka is missing (Debian and Ubuntu: libcmocka-dev); ./bootstrap test installs it" >&2; exit 1)
	$(if $(LEFT_OUT),@echo "libvterm is missing; left out: $(LEFT_OUT)" >&2)
$(TEST_PROGRAMS): $(if $(CMOCKA_LIBS),,no-cmocka)
.PHONY: no-cmocka
no-cmocka:
	@echo "cmocka is missing (Debian and Ubuntu: libcmocka-dev); ./bootstrap test installs it" >&2; exit 1

.PHONY: golden
golden: build $(OUT)/tests/test_tui_golden ## records anew how every screen is meant to look (tests/fixtures/screens)
	@mkdir -p tests/fixtures/screens && $(OUT)/tests/test_tui_golden --record

test-optimized: test-programs
	@QUANTDIAL_PROGRAM=$(PROGRAM) tests/run optimized $(TEST_PROGRAMS)

test-sanitized:
	@$(MAKE) MODE=sanitized --no-print-directory test-programs
	@QUANTDIAL_PROGRAM=$(PROGRAM:build/%=build/asan/%) tests/run sanitized $(TESTS:%=build/asan/tests/%)

test-valgrind: test-programs
	@command -v valgrind >/dev/null || { echo "valgrind is missing; ./bootstrap test installs it" >&2; exit 1; }
	@QUANTDIAL_PROGRAM=$(PROGRAM) QUANTDIAL_CPU=scalar QUANTDIAL_SLOW_CHECKS=0 GOMP_SPINCOUNT=0 OMP_WAIT_POLICY=passive \
	    WRAPPER="$(VALGRIND)" tests/run valgrind $(filter-out $(NOT_IN_VALGRIND:%=$(OUT)/tests/%),$(TEST_PROGRAMS))

BENCHES := $(sort $(basename $(notdir $(wildcard tests/bench/*.c))))
.PHONY: test-gpu test-gpu-sanitize bench bench-gpu gpu-programs
# A program of tests/gpu or tests/bench/gpu; linked like a test.
GPU_PROGRAMS := $(patsubst tests/%.c,$(OUT)/%,$(wildcard tests/gpu/*.c tests/bench/gpu/*.c))
$(GPU_PROGRAMS): $(OUT)/%: $(OUT)/obj/tests/%.c.o $(SUPPORT) $(LIBRARY)
	@mkdir -p $(@D)
	$(call quietly,LINK  $@)$(link) $^ $(CMOCKA_LIBS) $(VTERM_LIBS) $(LINK_LIBS) -o $@

test-gpu: build $(OUT)/gpu/test_gpu ## runs the tests of a CUDA device; fails without one
	@GOMP_SPINCOUNT=1000 $(OUT)/gpu/test_gpu

test-gpu-sanitize: build $(OUT)/gpu/test_gpu ## runs fewer of them, under compute-sanitizer
	@command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is missing; it comes with the CUDA Toolkit" >&2; exit 1; }
	@for tool in memcheck racecheck synccheck; do echo "$$tool"; QUANTDIAL_SLOW_CHECKS=0 GOMP_SPINCOUNT=1000 \
	    compute-sanitizer --tool $$tool --error-exitcode 1 $(OUT)/gpu/test_gpu || exit 1; done

bench: build $(BENCHES:%=$(OUT)/bench/%) ## runs the benchmarks of the CPU, then quantdial bench on a random 1.1 B model
	@tests/bench/run $(PROGRAM) $(BENCHES:%=$(OUT)/bench/%)
$(BENCHES:%=$(OUT)/bench/%): $(OUT)/bench/%: $(OUT)/obj/tests/bench/%.c.o $(SUPPORT) $(LIBRARY)
	@mkdir -p $(@D)
	$(call quietly,LINK  $@)$(link) $^ $(LINK_LIBS) -o $@
# PyTorch's own kernels beside ours, where python3 has it.
bench-gpu: build $(OUT)/bench/gpu/bench_gpu ## runs the benchmarks of a CUDA device into tests/bench/results; fails without one
	@$(OUT)/bench/gpu/bench_gpu
	@if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then \
	    python3 tools/bench_torch.py tests/bench/results; else echo "python3 has no torch with CUDA: nothing to compare with"; fi

# What the machine code for one device says without one. cuobjdump is looked for beside nvcc.
CUOBJDUMP ?= $(firstword $(wildcard $(dir $(NVCC))cuobjdump) $(shell command -v cuobjdump 2>/dev/null))
DEVICE_CODE := $(patsubst %,build/device/%.cubin,kernels integer many)
.PHONY: device-report
device-report: $(DEVICE_CODE) ## prints what the code for an H200 says of its speed (docs/device.md); needs nvcc, cuobjdump
	@test -n "$(CUOBJDUMP)" || { echo "cuobjdump is missing; it comes with the CUDA toolkit, or set CUOBJDUMP" >&2; exit 1; }
	@python3 tools/device_report.py $(CUOBJDUMP) $(DEVICE_CODE)
build/device/%.cubin: kernels/cuda/%.cu $(wildcard kernels/*.h kernels/cuda/*.h)
	@test -n "$(NVCC)" || { echo "nvcc is missing, which compiles for devices" >&2; exit 1; }
	@mkdir -p $(@D)
	$(call quietly,NVCC  $@)$(NVCC) $(filter-out -gencode arch=%,$(CUDA_FLAGS)) -arch=sm_90a -cubin $< -o $@

# That every kernel compiles for every architecture, and without a warning. Nearly all of nvcc's time goes into making
# code quick, which the build does for the devices of this machine; here it is left out, and what ptxas then says of speed
# is not shown. But code for warpgroups does not fit into their registers without a little of it.
QUICK.many := mid
.PHONY: check-cuda
check-cuda: $(CUDA_SOURCES:kernels/cuda/%.cu=build/device/%.fatbin) ## compiles the kernels for all architectures, hardly optimized
build/device/%.fatbin: kernels/cuda/%.cu build/cuda-flags $(wildcard kernels/*.h kernels/cuda/*.h)
	@mkdir -p $(@D)
	$(call quietly,NVCC  $@)$(NVCC) $(filter-out -O3 -gencode arch=%,$(CUDA_FLAGS)) $(call code_for,$(CUDA_ARCHS_ALL)) \
	    $(if $(CUDA_QUICKLY),$(CUDA_QUICKLY)$(or $(QUICK.$*),max)) -fatbin $< -o $@ 2>$@.log || { cat $@.log >&2; exit 1; }

# For a machine that has a device but neither our libraries nor a way to install them. In a checkout there:
#     tar -xf build/gpu-programs.tar.gz && export LD_LIBRARY_PATH=build/gpu-programs/lib QUANTDIAL_SAMPLES=$PWD/samples
#     build/gpu-programs/test_gpu [PATTERN]; build/gpu-programs/bench_gpu --help; build/gpu-programs/quantdial doctor
gpu-programs: $(GPU_PROGRAMS) $(PROGRAM) ## packs test_gpu, bench_gpu, quantdial and their libraries into build/gpu-programs.tar.gz
	@rm -rf $(OUT)/gpu-programs && mkdir -p $(OUT)/gpu-programs/lib
	@for program in $^; do strip -o $(OUT)/gpu-programs/$${program##*/} $$program || exit 1; done
	@ldd $^ | awk '$$3 ~ /^\// && $$1 !~ /^lib(c|m|stdc\+\+|gcc_s)\.so/ { print $$3 }' | sort -u | \
	    xargs -I LIBRARY cp -L LIBRARY $(OUT)/gpu-programs/lib/
	@tar -czf $(OUT)/gpu-programs.tar.gz $(OUT)/gpu-programs && ls -sh $(OUT)/gpu-programs.tar.gz

FUZZ_SECONDS ?= 30
FUZZERS := $(sort $(basename $(notdir $(wildcard tests/fuzz/*.c))))
.PHONY: fuzz fuzz-programs
fuzz: ## fuzzes each target of tests/fuzz for FUZZ_SECONDS (30); needs clang
	@command -v $(CLANG) >/dev/null || { echo "fuzzing needs clang" >&2; exit 1; }
	@$(MAKE) $(PARALLEL) MODE=fuzz --no-print-directory fuzz-programs
	@for name in $(FUZZERS); do \
	    mkdir -p build/fuzz/corpus/$$name; seeds=tests/fuzz/corpus/$$name; [ -d $$seeds ] || seeds=; \
	    echo "$$name, $(FUZZ_SECONDS) s"; \
	    build/fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -print_final_stats=0 -verbosity=0 -timeout=10 -rss_limit_mb=2048 \
	        -artifact_prefix=build/fuzz/$$name- build/fuzz/corpus/$$name $$seeds || exit 1; done
FUZZ_PROGRAMS := $(FUZZERS:%=build/fuzz/%)
fuzz-programs: $(FUZZ_PROGRAMS)
$(FUZZ_PROGRAMS): build/fuzz/%: build/fuzz/obj/tests/fuzz/%.c.o build/fuzz/libquantdial.a
	$(call quietly,LINK  $@)$(link) -fsanitize=fuzzer $^ $(LINK_LIBS) -o $@

KEYS ?= 1000000
SEED ?= 1
.PHONY: keys
keys: ## sends KEYS (1000000) random events from SEED (1) to the screen on four models and five terminals, with sanitizers
	@$(MAKE) MODE=sanitized TESTS=test_tui_keys --no-print-directory test-programs
	@build/asan/tests/test_tui_keys --events $(KEYS) --seed $(SEED)

# ---- Style ----

C_FILES := $(SOURCES) $(wildcard tests/*.c tests/support/*.c tests/bench/*.c tests/fuzz/*.c tests/gpu/*.c tests/bench/gpu/*.c)
STYLED := $(call in_rooms,*.[ch]) $(call in_rooms,*.cu) $(call in_rooms,*.cuh) $(wildcard tests/*.[ch] tests/*/*.[ch] tests/*/*/*.[ch])
.PHONY: lint format check-includes tidy
lint: check-includes ## checks format, clang-tidy and the direction of includes
	@mkdir -p build
	$(if $(STYLED),@clang-format --dry-run -Werror $(STYLED) 2>build/format.log || { \
	    grep ': error:' build/format.log | cut -d: -f1 | sort | uniq -c >&2; \
	    echo "places where clang-format would write it otherwise (build/format.log); make format does it" >&2; exit 1; })
	@$(MAKE) $(PARALLEL) --keep-going --no-print-directory tidy

# How many states the analyzer goes through before it leaves a function. By itself it takes three times as many: nearly
# all of the time went into a few functions that it never finished, and it came to the same places in them.
ANALYZER_NODES ?= 75000
# One stamp per file: only what changed is looked at again.
TIDIED := $(C_FILES:%=build/tidy/%.ok)
tidy: $(TIDIED)
build/tidy/%.ok: % .clang-tidy tests/.clang-tidy build/flags
	@mkdir -p $(@D)
	@$(CC) $(C_FLAGS) $(call file_flags,$<) -MM -MP -MT $@ -MF $(@:.ok=.d) $<
	@echo "clang-tidy $<"
	@clang-tidy --quiet --warnings-as-errors='*' $< -- $(C_FLAGS) $(call file_flags,$<) \
	    -Wno-unknown-warning-option -idirafter $(OMP_INCLUDE) -Xclang -analyzer-config -Xclang max-nodes=$(ANALYZER_NODES) \
	    2>$@.log || { grep -v 'warnings generated' $@.log >&2; exit 1; }
	@touch $@

check-includes: ## checks that no room includes a room below it
	@tests/check-includes

format: ## formats every file in place
	$(if $(STYLED),clang-format -i $(STYLED))

# ---- Pictures, installation, the rest ----

.PHONY: screenshots figures install uninstall clean help
screenshots: $(if $(VTERM_LIBS),$(OUT)/screenshot $(OUT)/recording $(OUT)/picture/quantdial,no-vterm) ## redraws the pictures in screenshots/, each time the same
	@tools/screenshots.sh
.PHONY: no-vterm
no-vterm:
	@echo "libvterm is missing, which draws the pictures (Debian and Ubuntu: libvterm-dev); ./bootstrap deps installs it" >&2; exit 1
$(OUT)/render-chat: $(call objects,tools/render_chat.c) $(LIBRARY)
	$(call quietly,LINK  $@)$(link) $^ $(LINK_LIBS) -o $@

$(OUT)/screenshot $(OUT)/recording: $(OUT)/%: $(call objects,tools/%.c tools/terminal_svg.c) $(SUPPORT) $(LIBRARY)
	$(call quietly,LINK  $@)$(link) $^ $(VTERM_LIBS) -o $@
$(OUT)/picture/quantdial: $(call objects,cli/main.c tools/picture_clock.c) $(LIBRARY)
	@mkdir -p $(@D)
	$(call quietly,LINK  $@)$(link) -Wl,--wrap=backend_cpu_new $^ $(LINK_LIBS) -o $@

figures: build ## redraws the figures of docs/measurements.md from sweeps over the sample
	@tools/figures.sh

SHARE = $(DESTDIR)$(PREFIX)/share
install: build ## installs program, samples, man page and completions
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(SHARE)/quantdial'
	install -m 755 $(PROGRAM) '$(DESTDIR)$(PREFIX)/bin/quantdial'
	rm -rf '$(SHARE)/quantdial/samples'
	cp -R samples '$(SHARE)/quantdial/samples'
	chmod -R u=rwX,go=rX '$(SHARE)/quantdial/samples'
	install -D -m 644 cli/quantdial.1 '$(SHARE)/man/man1/quantdial.1'
	install -D -m 644 cli/completions/quantdial.bash '$(SHARE)/bash-completion/completions/quantdial'
	install -D -m 644 cli/completions/_quantdial '$(SHARE)/zsh/site-functions/_quantdial'
	install -D -m 644 cli/completions/quantdial.fish '$(SHARE)/fish/vendor_completions.d/quantdial.fish'

uninstall: ## removes what install put there
	rm -f '$(DESTDIR)$(PREFIX)/bin/quantdial' '$(SHARE)/man/man1/quantdial.1' \
	    '$(SHARE)/bash-completion/completions/quantdial' '$(SHARE)/zsh/site-functions/_quantdial' \
	    '$(SHARE)/fish/vendor_completions.d/quantdial.fish'
	rm -rf '$(SHARE)/quantdial'

clean: ## removes build/
	rm -rf build

help: ## prints this list
	@sed -n '/^# Variables worth/,/^$$/s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))
	@echo 'Targets:'
	@awk -F ':.*## ' '/^[a-z_.-]+:.*## / { printf "  %-21s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

-include $(patsubst %.o,%.d,$(LIB_OBJECTS) $(SUPPORT_OBJECTS) $(call objects,cli/main.c) $(TESTS:%=$(OUT)/obj/tests/%.c.o) \
    $(BENCHES:%=$(OUT)/obj/tests/bench/%.c.o) $(GPU_PROGRAMS:$(OUT)/%=$(OUT)/obj/tests/%.c.o) \
    $(FUZZERS:%=$(OUT)/obj/tests/fuzz/%.c.o) $(call objects,$(wildcard tools/*.c))) $(TIDIED:.ok=.d)
