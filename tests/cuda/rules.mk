# The plugin on an emulated GPU, for tests: its own sources, compiled by g++ with tests/cuda/emu where the toolkit's
# headers would be. The program stands beside it, for that is where it looks for a plugin.
EMU      := $(patsubst %.cc,$(BUILD)/%.o,$(wildcard tests/cuda/emu/*.cc))
EMUCUDA  := $(patsubst kernels/cuda/%.cu,$(BUILD)/tests/cuda/plugin/%.o,$(wildcard kernels/cuda/*.cu)) $(BUILD)/cuda/base.o $(BUILD)/cuda/types.o
# A vector access at no multiple of its size traps, as it would on the device.
EMUTRAP  := $(if $(findstring sanitize,$(OPT)),,-fsanitize=alignment -fsanitize-undefined-trap-on-error)
EMUFLAGS  = -std=c++20 $(OPT) -fPIC -fvisibility=hidden -ffp-contract=off -Wall -Wextra -Wno-psabi -Wno-missing-field-initializers -Wno-unknown-pragmas -DKV_CUDA_EMULATED -I. -Itests/cuda/emu
PARITY   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/cuda/parity*.c))
EMUTESTS := $(addprefix $(BUILD)/tests/cuda/,emu_test kvdbg kvdbg-cuda.so parity requests bench end_to_end models odd_abi.so odd_size.so odd_name.so odd_library.so)

$(BUILD)/tests/cuda/emu/%.o: tests/cuda/emu/%.cc Makefile tests/cuda/rules.mk
	$(Q)mkdir -p $(@D); echo "  CXX  $<"; $(CXX) $(EMUFLAGS) -Werror -MMD -MP -c -o $@ $<
$(BUILD)/tests/cuda/plugin/%.o: kernels/cuda/%.cu Makefile tests/cuda/rules.mk
	$(Q)mkdir -p $(@D); echo "  CXX  $< (emulated)"; $(CXX) -x c++ $(subst -O2,-O1,$(EMUFLAGS)) $(EMUTRAP) -MMD -MP -c -o $@ $<
$(BUILD)/tests/cuda/emu_test: tests/cuda/emu_test.cc $(EMU)
	$(Q)echo "  CXX  $<"; $(CXX) $(subst -O2,-O1,$(EMUFLAGS)) $(EMUTRAP) -MMD -MP -o $@ $< $(EMU)
$(BUILD)/tests/cuda/kvdbg-cuda.so: $(EMUCUDA) $(EMU)
	$(Q)echo "  LINK $@"; $(CXX) -shared $(OPT) -o $@ $^ -Wl,-z,defs
$(BUILD)/tests/cuda/kvdbg: $(BUILD)/kvdbg
	$(Q)mkdir -p $(@D) && ln -f $< $@
$(BUILD)/tests/cuda/parity: $(PARITY) $(BUILD)/libengine.a
	$(Q)echo "  LINK $@"; $(CC) $(CFLAGS) -o $@ $(PARITY) $(BUILD)/libengine.a $(ENGLIBS)
$(BUILD)/tests/cuda/end_to_end $(BUILD)/tests/cuda/models: $(BUILD)/tests/cuda/%: $(BUILD)/gpu/%
	$(Q)mkdir -p $(@D) && ln -f $< $@
# Plugins that the loader must refuse; the last one wants a library that is taken away again.
$(BUILD)/tests/cuda/odd_%.so: tests/cuda/odd_plugin.c
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) -std=c11 -fPIC -shared -DODD_$* -o $@ $<
$(BUILD)/tests/cuda/odd_library.so: tests/cuda/odd_plugin.c
	$(Q)mkdir -p $(@D)/gone && $(CC) $(CPPFLAGS) -std=c11 -fPIC -shared -DODD_library -o $(@D)/gone/libgone.so $<
	$(Q)$(CC) $(CPPFLAGS) -std=c11 -fPIC -shared -DODD_none -Wl,--no-as-needed -o $@ $< -L$(@D)/gone -lgone && rm -r $(@D)/gone
# The benchmark's rates are CUDA's own, here the emulator's.
BENCH    := $(call obj,$(wildcard tests/cuda/bench*.c))
$(BUILD)/tests/cuda/plugin/bench_rates.o: tests/cuda/bench_rates.cu Makefile tests/cuda/rules.mk
	$(Q)mkdir -p $(@D); echo "  CXX  $< (emulated)"; $(CXX) -x c++ $(EMUFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/tests/cuda/bench: $(BENCH) $(BUILD)/tests/cuda/plugin/bench_rates.o $(EMU) $(BUILD)/libengine.a
	$(Q)echo "  LINK $@"; $(CXX) $(OPT) -fopenmp -o $@ $^ $(ENGLIBS)

# Programs for a machine with a GPU, which may have nothing but gcc, nvcc and cuBLAS.
GPUTESTS := $(addprefix $(BUILD)/gpu/,parity requests end_to_end models model_parity kvdbg-cuda.so bench)
GPULINK   = $(Q)mkdir -p $(@D); echo "  LINK $@"; $(CC) $(CFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libengine.a $(ENGLIBS)
$(BUILD)/gpu/kvdbg-cuda.so: $(BUILD)/kvdbg-cuda.so
	$(Q)mkdir -p $(@D) && ln -f $< $@
$(BUILD)/gpu/parity: $(PARITY) $(BUILD)/libengine.a
	$(GPULINK)
$(BUILD)/gpu/requests: $(call obj,tests/cuda/requests.c) $(BUILD)/libengine.a
	$(GPULINK)
$(BUILD)/gpu/end_to_end: $(call obj,tests/cuda/end_to_end.c) $(TESTLIB) $(BUILD)/libengine.a
	$(GPULINK)
$(BUILD)/gpu/models: $(call obj,tests/unit/models.c) $(TESTLIB) $(BUILD)/libengine.a
	$(GPULINK)
$(BUILD)/gpu/model_parity: $(call obj,tests/unit/parity.c) $(TESTLIB) $(BUILD)/libengine.a
	$(GPULINK)
$(BUILD)/gpu/bench_rates.o: tests/cuda/bench_rates.cu Makefile tests/cuda/rules.mk
	$(Q)mkdir -p $(@D); echo "  NVCC $<"; $(NVCC) $(NVFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/gpu/bench: $(BENCH) $(BUILD)/gpu/bench_rates.o $(BUILD)/libengine.a
	$(Q)echo "  LINK $@"; $(NVCC) -o $@ $^ -Xcompiler -fopenmp -L$(CUDA_HOME)/lib64 -lcublas -Xlinker -rpath,$(CUDA_HOME)/lib64 $(ENGLIBS)
