# kvdbg: GDB for the KV cache. `make demo` runs it on a real model, `make test` proves it; README.md tells the rest.
BUILD  ?= build
PREFIX ?= /usr/local
MODEL  := models/smollm2-135m-instruct-q4_1.gguf
CC     := gcc
OPT    ?= -O2 -g

# Libraries: the inspector and the renderer need theirs; the engine takes PCRE2 where it is (without it prompts are
# token ids only), cJSON (without it no core files and no Hugging Face folders) and utf8proc (without it no Unicode
# normalization), so that it builds beside nothing but gcc.
PKGS   := libpng freetype2 libedit ncursesw libcrypto libcjson
have    = $(shell pkg-config --exists $(1) 2>/dev/null && echo 1)
HAVE_PCRE2 ?= $(call have,libpcre2-8)
HAVE_CJSON ?= $(call have,libcjson)
HAVE_UTF8PROC ?= $(call have,libutf8proc)
MISSING    := $(foreach p,$(PKGS) libpcre2-8 libutf8proc,$(if $(call have,$(p)),,$(p)))

# Another compiler may warn of more; where a GPU is lent by the minute, that must not end the build.
WERROR ?= -Werror
CPPFLAGS += -I. -D_GNU_SOURCE $(if $(HAVE_PCRE2),-DKV_HAVE_PCRE2) $(if $(HAVE_CJSON),-DKV_HAVE_CJSON) $(if $(HAVE_UTF8PROC),-DKV_HAVE_UTF8PROC)
CFLAGS   += -std=c11 $(OPT) -fopenmp -ffp-contract=off -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
ENGLIBS  := -lm -ldl $(if $(HAVE_PCRE2),-lpcre2-8) $(if $(HAVE_CJSON),-lcjson) $(if $(HAVE_UTF8PROC),-lutf8proc)
TOPLIBS   = $(shell pkg-config --libs $(PKGS))
TOPFLAGS  = $(shell pkg-config --cflags $(PKGS))
Q := $(if $(V),,@)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
ENGINE := $(call obj,$(wildcard kernels/*.c kernels/cpu/*.c engine/*.c engine/*/*.c))
SIMD   := $(foreach isa,avx2 avx512,$(patsubst %.c,$(BUILD)/%.$(isa).o,$(wildcard kernels/cpu/simd/*.c)))
TOP    := $(call obj,$(wildcard render/*.c inspector/*.c inspector/*/*.c))
exe = $(patsubst %.c,$(BUILD)/%,$(1))
NVCC   ?= $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))
CUARCH ?= -gencode arch=compute_80,code=[sm_80,compute_80] -gencode arch=compute_90a,code=sm_90a
NVFLAGS := -std=c++17 -O3 -I. $(CUARCH) -Xcompiler -Wall,-Wextra,-fPIC,-fvisibility=hidden
CUDA   := $(patsubst kernels/cuda/%.cu,$(BUILD)/cuda/%.o,$(wildcard kernels/cuda/*.cu)) $(BUILD)/cuda/base.o $(BUILD)/cuda/types.o
UNIT   := $(call exe,$(wildcard tests/unit/*.c))
FUZZ   := $(call exe,$(wildcard tests/fuzz/fuzz_*.c tests/fuzz/*_seeds.c))
TESTLIB := $(call obj,$(wildcard tests/lib/*.c))

.PHONY: all cuda engine unit demo gallery test soak bench model deps gpu-build gpu-check asan format install clean libs
all: libs $(BUILD)/kvdbg cuda
# The CUDA backend is a plugin beside the program, made where nvcc is.
cuda: $(if $(NVCC),$(BUILD)/kvdbg-cuda.so,$(BUILD)/cuda.note)
$(BUILD)/cuda.note:
	$(Q)mkdir -p $(@D) && echo "  CUDA no plugin: there is no nvcc here" | tee $@
$(BUILD)/kvdbg-cuda.so: $(CUDA)
	$(Q)echo "  LINK $@"; $(NVCC) -shared -o $@ $^ -L$(CUDA_HOME)/lib64 -lcublas -Xlinker -rpath,$(CUDA_HOME)/lib64,-z,defs
$(BUILD)/cuda/%.o: kernels/cuda/%.cu Makefile
	$(Q)mkdir -p $(@D); echo "  NVCC $<"; $(NVCC) $(NVFLAGS) -Xptxas -v -MMD -MP -c -o $@ $< 2>$(@:.o=.ptxas) || { cat $(@:.o=.ptxas); exit 1; }
$(BUILD)/cuda/%.o: kernels/%.c Makefile
	$(Q)mkdir -p $(@D); echo "  CC   $< (pic)"; $(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<
libs:
	$(Q)[ -z "$(strip $(MISSING))" ] || { echo "Missing libraries: $(strip $(MISSING)). Run: make deps"; exit 1; }

engine: $(BUILD)/libengine.a
$(BUILD)/libengine.a: $(ENGINE) $(SIMD)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/librender.a: $(call obj,$(wildcard render/*.c))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/kvdbg: $(TOP) $(BUILD)/libengine.a
	$(Q)echo "  LINK $@"; $(CC) $(CFLAGS) -o $@ $^ $(ENGLIBS) $(TOPLIBS)
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TESTLIB) $(BUILD)/librender.a $(BUILD)/libengine.a
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(ENGLIBS) $(TOPLIBS)
# Fuzz targets without libFuzzer; the sanitizer at least watches the heap, and where OPT says so, all.
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(call obj,tests/fuzz/driver.c tests/fuzz/tiny.c) $(filter-out %/main.o,$(TOP)) $(BUILD)/libengine.a
	$(Q)$(CC) $(CFLAGS) -fsanitize=address -o $@ $^ $(ENGLIBS) $(TOPLIBS)

$(BUILD)/render/%.o $(BUILD)/inspector/%.o: CPPFLAGS += $(TOPFLAGS)
$(BUILD)/kernels/%.o: OPT := $(subst -O2,-O3,$(OPT))
$(BUILD)/%.o: %.c Makefile
	$(Q)mkdir -p $(@D); echo "  CC   $<"; $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/kernels/cpu/simd/%.avx2.o: kernels/cpu/simd/%.c Makefile
	$(Q)mkdir -p $(@D); echo "  CC   $< (avx2)"; $(CC) $(CPPFLAGS) $(CFLAGS) -O3 -DKV_ISA=avx2 -march=x86-64-v3 -MMD -MP -c -o $@ $<
$(BUILD)/kernels/cpu/simd/%.avx512.o: kernels/cpu/simd/%.c Makefile
	$(Q)mkdir -p $(@D); echo "  CC   $< (avx512)"; $(CC) $(CPPFLAGS) $(CFLAGS) -O3 -DKV_ISA=avx512 -march=x86-64-v4 -mavx512vnni -mavx512bf16 -mavx512vbmi -mprefer-vector-width=512 -MMD -MP -c -o $@ $<
include tests/cuda/rules.mk
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.SECONDARY:

model:
	$(Q)engine/model/fetch.sh $(MODEL)
deps:
	$(Q)tests/deps.sh
# The libraries are looked for anew once the missing ones are installed, hence the second make.
# README's pictures, from the real model.
gallery: all model
	$(Q)$(BUILD)/kvdbg -q -batch --threads 2 -x sessions/gallery.kv $(MODEL)
	$(Q)$(BUILD)/kvdbg -q -nx --threads 2 -p sessions/tour.txt --question "$$(cat sessions/tour-question.txt)" --keys sessions/screen.keys $(MODEL)
demo: deps model
	$(Q)$(MAKE) -j$$(nproc) --no-print-directory all
	$(Q)$(BUILD)/kvdbg -q -batch -x sessions/tour.kv $(MODEL)
test: deps model
	$(Q)$(MAKE) -j$$(nproc) --no-print-directory all unit
	$(Q)tests/run.sh $(BUILD) $(T)
unit: libs $(UNIT) $(FUZZ) $(EMUTESTS)
asan: deps model
	$(Q)$(MAKE) -j$$(nproc) --no-print-directory BUILD=$(BUILD)/asan OPT='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' all unit
	$(Q)ASAN_OPTIONS=fast_unwind_on_malloc=0 LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 tests/run.sh $(BUILD)/asan $(T)
soak: all
	$(Q)tests/soak.sh
bench: all $(call exe,$(wildcard tests/bench/*.c))
	$(Q)tests/bench/run.sh $(BUILD) $(PEER)
gpu-build:
	$(Q)$(MAKE) -j$$(nproc) --no-print-directory WERROR= $(if $(NVCC),$(GPUTESTS),$(BUILD)/cuda.note)
gpu-check:
	$(Q)tests/cuda/gpu_check.sh $(BUILD)
format:
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h' '*.cu' '*.cuh')
install: all
	$(Q)install -d $(PREFIX)/bin $(PREFIX)/share/man/man1
	$(Q)install -m 755 $(BUILD)/kvdbg $(wildcard $(BUILD)/kvdbg-cuda.so) $(PREFIX)/bin
	$(Q)$(BUILD)/kvdbg -batch -ex 'maint man' synthetic:tiny >$(PREFIX)/share/man/man1/kvdbg.1
clean:
	$(Q)rm -rf $(BUILD)
